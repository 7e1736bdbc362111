package proxy

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/test/path"
)

// over is the configuration of a proxy that reaches its members over p.
func (c *cluster) over(tb testing.TB, p path.Path) Config {
	tb.Helper()
	cfg := c.config()
	for i, m := range cfg.Members {
		u, err := url.Parse(m.ClientURL)
		require.NoError(tb, err)
		l, err := p.To(u.Host)
		require.NoError(tb, err)
		tb.Cleanup(func() { l.Close() })
		// Members' certificates are good for 127.0.0.1.
		cfg.Members[i] = Member{Name: m.Name, ClientURL: strings.Replace(m.ClientURL, u.Host, l.Addr().String(), 1)}
	}
	return cfg
}
