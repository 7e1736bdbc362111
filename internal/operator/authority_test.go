package operator

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/juju-charms/etcd-charm/internal/pki"
)

// The authorities of the tests are real, the same in every process, and made once in each.
// overlapping issues as ca1 does and trusts ca2 too, as while ca2 replaces ca1.
var (
	ca1         = sync.OnceValue(func() *pki.Authority { return newAuthority(1) })
	ca2         = sync.OnceValue(func() *pki.Authority { return newAuthority(2) })
	overlapping = sync.OnceValue(func() *pki.Authority {
		content := ca1().Encode()
		for key, value := range ca2().Encode() {
			if key == "peer-trust" || key == "client-trust" {
				content[key] += value
			}
		}
		return must(pki.DecodeAuthority(content))
	})
)

func newAuthority(seed byte) *pki.Authority {
	return must(pki.NewAuthority(rand.NewChaCha8([32]byte{seed}), time.Unix(0, 0), "etcd"))
}

func must[T any](a T, err error) T {
	if err != nil {
		panic(err)
	}
	return a
}
