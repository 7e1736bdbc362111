package host

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/juju-charms/etcd-charm/internal/operator"
)

// A consumer's certificate names its user, so switching authorization on does not lock the consumer
// out. Until then etcd's JSON gateway accepts the certificate too; afterwards the gateway refuses
// every certificate that names a user.
func TestConsumerIsAUser(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	u := f.add(t)
	w := u.found()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const user = "proxy:3"
	given, err := f.authority.Credentials(u.model().UUID, user, 1, w.Period)
	require.NoError(t, err)
	pair, err := tls.X509KeyPair([]byte(given.Cert), []byte(given.Key))
	require.NoError(t, err)
	as := u.access(f.authority)
	admin, err := as.dial(u.url(f.config.Port))
	require.NoError(t, err)
	defer ignoreClose(admin)
	as.cert = &pair
	consumer, err := as.dial(u.url(f.config.Port))
	require.NoError(t, err)
	defer ignoreClose(consumer)
	gateway := func() (int, string) {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: as.roots, Certificates: []tls.Certificate{pair}}}}
		defer client.CloseIdleConnections()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url(f.config.Port)+"/v3/kv/range", strings.NewReader(`{"key": "bWluZS9h"}`))
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		require.Equal(t, 1, response.ProtoMajor)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}

	_, err = consumer.Put(ctx, "mine/a", "apple")
	require.NoError(t, err)
	status, body := gateway()
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, "YXBwbGU=")

	allow(ctx, t, admin.Client, user, "mine/")
	_, err = consumer.Get(ctx, "mine/a")
	require.NoError(t, err, "the certificate is enough")
	_, err = consumer.Put(ctx, "mine/b", "banana")
	require.NoError(t, err)
	_, err = consumer.Get(ctx, "other/a")
	require.ErrorContains(t, err, "permission denied")
	status, body = gateway()
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, body, "CommonName")
	assert.Equal(t, operator.Healthy, u.look().Reach, "the charm is root")
}

// allow switches authorization on, with one user beside root who may use the keys below a prefix.
func allow(ctx context.Context, t *testing.T, etcd *clientv3.Client, user, prefix string) {
	t.Helper()
	none := &clientv3.UserAddOptions{NoPassword: true}
	for _, name := range []string{"root", user} {
		_, err := etcd.RoleAdd(ctx, name)
		require.NoError(t, err)
		_, err = etcd.UserAddWithOptions(ctx, name, "", none)
		require.NoError(t, err)
		_, err = etcd.UserGrantRole(ctx, name, name)
		require.NoError(t, err)
	}
	_, err := etcd.RoleGrantPermission(ctx, user, prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermReadWrite))
	require.NoError(t, err)
	_, err = etcd.AuthEnable(ctx)
	require.NoError(t, err, fmt.Sprint("users root and ", user))
}
