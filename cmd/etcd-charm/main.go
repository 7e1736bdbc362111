package main

import (
	"os"

	"go.etcd.io/etcd/etcdctl/v3/ctlv3"
	_ "go.etcd.io/etcd/etcdutl/v3/etcdutl"
	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "github.com/juju/charm/v12/hooks"
	_ "github.com/stretchr/testify/require"
	_ "gopkg.in/yaml.v3"
)

func main() {
	if len(os.Args) > 5 {
		ctlv3.MustStart()
	}
	etcdmain.Main(os.Args)
}
