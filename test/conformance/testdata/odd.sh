# Sourced by the dispatch script in update-status: arguments that the charm never gives to its tools. Only the relay's
# comparison matters, so a tool may refuse them.
# shellcheck disable=SC2046
peer=$(relation-ids cluster)
app=${JUJU_UNIT_NAME%/*}
config-get --format json
config-get --format json port
config-get --format json no-such-option
is-leader --format json
network-get --format json -r "$peer" cluster
network-get --format json --bind-address cluster
network-get --format json --ingress-address cluster
network-get --format json --egress-subnets cluster
opened-ports --format json
relation-get --format json -r "$peer" private-address "$JUJU_UNIT_NAME"
relation-get --format json -r "$peer" no-such-key "$JUJU_UNIT_NAME"
relation-ids --format json cluster
relation-ids --format json no-such-endpoint
relation-list --format json -r "$peer"
relation-list --format json -r "$peer" --app
secret-ids --format json
state-get --format json no-such-key
is-leader --format xml
config-get port log_level
network-get
network-get no-such-binding
opened-ports more
open-port
open-port 99999
open-port http
open-port 7001-7003
open-port 7001-7003/udp
open-port icmp
opened-ports
close-port 7001-7003
close-port 7001-7003/udp
close-port icmp
relation-get -r "$peer"
relation-get -r "$peer" - "$app"
relation-get -r "$peer" --app - "$JUJU_UNIT_NAME"
relation-get -r "$peer" - "$JUJU_UNIT_NAME" more
relation-get -r "$peer" - no-such-unit/7
relation-get -r cluster:99 - "$JUJU_UNIT_NAME"
relation-ids
relation-list
relation-list -r 99
relation-set -r "$peer" odd=1 odd=2
relation-set -r "$peer" odd
relation-set -r "$peer" =1
relation-set -r "$peer" 'odd= 1 ' even=
printf 'odd: ""\neven: 2\n' | relation-set -r "$peer" --file - even=3
printf 'odd: {deep: 1}\n' | relation-set -r "$peer" --file -
printf -- '- odd\n' | relation-set -r "$peer" --file -
relation-set -r "$peer" even=
relation-set odd=1
secret-add
secret-add ca=short
secret-add Label=upper
secret-add 'odd#base64=*'
secret-add --owner nobody value=odd
secret-get
secret-get --label no-such-label
secret-get --label etcd-authority --peek --refresh
secret-get no-such-secret
secret-ids more
secret-info-get
secret-info-get --format json --label etcd-authority
secret-info-get --format json $(secret-ids)
state-set odd=1 even=2
state-set odd
printf 'odd: 3\n' | state-set --file - even=
state-get odd
state-get --strict odd
state-get --strict no-such-key
state-get odd even
state-delete odd
state-delete even
state-delete
status-set
status-set error no
status-set active -no
status-set --no
juju-log
juju-log -l NOSUCH text
juju-log --debug text
application-version-set
goal-state --format json
goal-state more
action-get
action-set odd=1
action-fail odd
action-log odd
