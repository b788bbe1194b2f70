#!/usr/bin/env bash
# xmllint: every XMS reply with at least one subscription is valid against the vendor's schema (X47).
set -euo pipefail

url=${1:?the server address}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=.ci/outside/started.bash
source "$here/started.bash"

document() { printf '<web_service version="1.0"><eventhandler>%s</eventhandler></web_service>' "$1"; }

# reply NAME STATUS ARGUMENTS...: keeps a reply as $folder/NAME.xml.
reply() {
    local name=$1 expected=$2 got
    shift 2
    got=$(curl -sS -m 20 -o "$folder/$name.xml" -w '%{http_code}' "$@")
    if [[ $got != "$expected" ]]; then
        echo "$name: $got instead of $expected" >&2
        return 1
    fi
}

# valid NAMES...: judged by the schema.
valid() {
    xmllint --nonet --noout --schema "$here/eventhandler.xsd" "${@/%/.xml}" 2>verdicts || {
        cat verdicts >&2
        return 1
    }
}

collection="$url/default/eventhandlers?appid=app"
cd "$folder"
reply empty 200 "$collection"
reply post 201 -d "$(document '<eventsubscribe/>')" "$collection"
id=$(sed -n 's/.*identifier="\([^"]*\)".*/\1/p' post.xml)
handler="$url/default/eventhandlers/$id?appid=app"
reply put 200 -X PUT -d "$(document '<eventsubscribe action="add" type="end_play"/>')" "$handler"

# Every word of the page's tables, and an id that needs references.
words=
for type in end_play end_playcollect end_playrecord end_overlay incoming ringing connected hangup dtmf cpa tone keepalive any; do
    for resource_type in call conference any; do
        words+="<eventsubscribe type=\"$type\" resource_type=\"$resource_type\" resource_id=\"a&amp;b&lt;&quot;&#252;\"/>"
    done
done
document "$words" >request.xml
reply post-words 201 -d @request.xml "$collection"
reply list 200 "$collection"
reply state 200 "$handler&view=state"
reply put-remove 200 -X PUT -d "$(document '<eventsubscribe action="remove" type="end_play"/>')" "$handler"
if [[ $(grep -c '<eventsubscribe' post-words.xml) != 39 || $(grep -c '<eventhandler_response' list.xml) != 2 ]]; then
    echo "the replies do not hold what was asked for" >&2
    exit 1
fi
valid empty request post put post-words list state put-remove

# A schema that lets everything pass would prove nothing.
sed 's/type="end_play"/type="no_such_type"/' put.xml >broken.xml
if cmp -s put.xml broken.xml || valid broken 2>/dev/null; then
    echo "the schema passed an unknown event type" >&2
    exit 1
fi
