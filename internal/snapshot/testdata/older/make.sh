#!/bin/sh
# make.sh ETCD ETCDCTL NAME [auth] [three] [learner] [downgrade] makes NAME.db.zst and NAME-raw.db.zst
# in the working directory, with the etcd and etcdctl of one release.
set -eu
etcd=$1 ctl=$2 name=$3
shift 3
wants() { case " $words " in *" $1 "*) ;; *) return 1 ;; esac; }
words="$*"
dir=$(mktemp -d)
export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=http://127.77.0.1:23790
cluster=m1=http://127.77.0.1:23800
members=1
if wants three; then
	members='1 2 3'
	cluster=$cluster,m2=http://127.77.0.2:23800,m3=http://127.77.0.3:23800
fi
more=
case $($etcd --version | head -1) in *' 3.4.'*) more=--enable-v2=true ;; esac
pids=
trap 'kill $pids 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
for i in $members; do
	$etcd --name m$i --data-dir "$dir/m$i" --initial-cluster $cluster --initial-cluster-token old \
		--listen-peer-urls http://127.77.0.$i:23800 --initial-advertise-peer-urls http://127.77.0.$i:23800 \
		--listen-client-urls http://127.77.0.$i:23790 --advertise-client-urls http://127.77.0.$i:23790 \
		$more >"$dir/m$i.log" 2>&1 &
	pids="$pids $!"
done
until $ctl endpoint health >/dev/null 2>&1; do sleep 1; done

# puts FROM TO VALUE puts keys in one revision.
puts() {
	{
		echo
		for n in $(seq -f %03.0f "$1" "$2"); do echo "put k/$n $3-$n"; done
		echo
		echo
	} | $ctl txn >/dev/null
}
puts 0 99 first
puts 100 199 first
puts 0 49 second
for n in 0 1 2 3 4; do $ctl put often "$n" >/dev/null; done
$ctl del k/180 k/190 >/dev/null # ten keys, compacted below
$ctl compact --physical 10 >/dev/null
$ctl del k/190 k/200 >/dev/null # ten more, still in the history
lease=$($ctl lease grant 3600 | cut -d' ' -f2)
$ctl put --lease="$lease" leased value >/dev/null
$ctl put 'etcd-charm/turn' etcd/9 >/dev/null # a key of the charm's own
if [ -n "$more" ]; then ETCDCTL_API=2 $ctl --endpoints $ETCDCTL_ENDPOINTS set /old-api value >/dev/null; fi
if wants learner; then $ctl member add m9 --learner --peer-urls http://127.77.0.9:23800 >/dev/null; fi
if wants downgrade; then
	$ctl downgrade enable 3.5 >/dev/null
	until $ctl endpoint status -w json | grep -q '"storageVersion":"3.5.0"'; do sleep 1; done
fi

$ctl role add reader >/dev/null
$ctl role grant-permission reader read --prefix k/ >/dev/null
$ctl user add app:secret >/dev/null
$ctl user grant-role app reader >/dev/null
$ctl user add root:secret >/dev/null
$ctl role add root >/dev/null 2>&1 || true
$ctl user grant-role root root >/dev/null
if wants auth; then
	$ctl auth enable >/dev/null
	export ETCDCTL_USER=root:secret
fi
$ctl snapshot save "$dir/$name.db" >/dev/null 2>&1
kill $pids
wait
cp "$dir/m1/member/snap/db" "$dir/$name-raw.db"
for f in "$name" "$name-raw"; do zstd -q -19 -f "$dir/$f.db" -o "$f.db.zst"; done
