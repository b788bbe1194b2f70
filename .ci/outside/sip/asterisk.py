"""Asterisk as the peer: a lamp of its dialplan, a phone that SIPp plays, voicemail, and what it refuses.

    python3 asterisk.py URL PORT PHONE SPOOL ROOT SCRATCH RECEIVER RECORD

URL is the server's, PORT Asterisk's, PHONE the port of the phone 100, SPOOL Asterisk's spool folder, ROOT the root that it
runs in, SCRATCH its folder in there.
"""

import pathlib
import subprocess
import sys

from sep import Api, Events, callbacks, run, until

URL, PORT, PHONE, SPOOL, ROOT, SCRATCH, RECEIVER, RECORD = sys.argv[1:]
SIPP = ["chroot", ROOT, "/usr/bin/sipp"]
HERE = pathlib.Path(__file__).parent

api = Api(URL)


def uri(extension):
    return f"sip:{extension}@127.0.0.1:{PORT}"


def console(line):
    done = subprocess.run(
        ["chroot", ROOT, "/usr/sbin/asterisk", "-C", f"{SCRATCH}/etc/asterisk.conf", "-rx", line],
        check=True, capture_output=True, text=True)
    return done.stdout
