"""The reference library of Standard Webhooks (PyPI) judges what receiver.py recorded.

    python3 verify.py RECORD PATH COUNT SECRET [WRONG_SECRET]
"""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

record, path, count, secret, *wrong = sys.argv[1:]
requests = [json.loads(line) for line in open(record, encoding="utf-8")]
requests = [request for request in requests if request["path"] == path]
assert len(requests) >= int(count), (path, len(requests))
for request in requests:
    headers, body = dict(request["headers"]), request["body"].encode("latin-1")
    event = Webhook(secret).verify(body, headers)
    assert event["specversion"] == "1.0", event
    for altered in (body + b" ", body.replace(b'"n":', b'"m":')):
        try:
            Webhook(secret).verify(altered, headers)
        except WebhookVerificationError:
            continue
        raise AssertionError("an altered body passed")
    for other in wrong:
        try:
            Webhook(other).verify(body, headers)
        except WebhookVerificationError:
            continue
        raise AssertionError("another secret passed")
