package living

import (
	"fmt"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/juju-charms/etcd-charm/test/load"
)

// leaf prints what a certificate is for, and for how many whole days.
func (b *bench) leaf(ts *testscript.TestScript, _ bool, args []string) {
	cert, err := load.Leaf(b.asker(ts), args[0], args[1])
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), "names", cert.DNSNames, cert.IPAddresses)
	fmt.Fprintln(ts.Stdout(), "days", int(time.Until(cert.NotAfter).Hours()/24))
}

// age replaces a unit's leaf certificate by one that is nearly over, or not yet valid.
func (b *bench) age(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(load.Age(b.asker(ts), args[0], args[1], args[2] == "early"))
}
