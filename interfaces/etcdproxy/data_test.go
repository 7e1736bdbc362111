package etcdproxy_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/juju-charms/etcd-charm/interfaces/etcdproxy"
)

func TestTheKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	credentials := etcdproxy.Credentials{Cert: "the cert", Key: "deadbeef", CA: "the ca"}
	data := etcdproxy.Data{Members: []etcdproxy.Member{{Name: "etcd0"}}, Credentials: credentials}
	requires := etcdproxy.Requires{App: "etcd", Data: data}

	for _, value := range []any{
		credentials, &credentials, data, &data, requires, &requires,
		[]etcdproxy.Data{data},
		map[string]etcdproxy.Credentials{"x": credentials},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
			assertHidden(t, fmt.Sprintf(verb, value), "%T under %s", value, verb)
		}
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		assertHidden(t, string(encoded), "%T in JSON", value)
		for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var log bytes.Buffer
			slog.New(handler(&log)).Info("look", "value", value)
			assertHidden(t, log.String(), "%T in a %s log", value, name)
		}
	}
	assert.Equal(t, "{cert: 8 bytes, key: [redacted], ca: 6 bytes}", fmt.Sprint(credentials))
	assert.Equal(t, "{cert: 0 bytes, key: none, ca: 0 bytes}", fmt.Sprint(etcdproxy.Credentials{}))
	assert.Contains(t, fmt.Sprintf("%+v", requires), "[redacted]")

	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("look", "with", credentials)
	assert.Contains(t, log.String(), "with.cert=8 with.key=[redacted] with.ca=6")
}

func assertHidden(t *testing.T, text, format string, args ...any) {
	t.Helper()
	for _, leak := range []string{
		"deadbeef", hex.EncodeToString([]byte("deadbeef")), "ZGVhZGJlZWY=", "[100 101 97 100", "144 145 141 144",
	} {
		assert.NotContainsf(t, strings.ToLower(text), strings.ToLower(leak), format, args...)
	}
}

func TestCredentialsCheck(t *testing.T) {
	t.Parallel()
	good, other := mint(t), mint(t)
	short := mintFor(t, ecKey(t), now-1, pkcs8)
	tests := map[string]struct {
		credentials etcdproxy.Credentials
		want        string // empty: good
	}{
		"good":                    {credentials: good},
		"P-384 in SEC 1":          {credentials: mintFor(t, ecKey(t), ends, sec1)},
		"RSA in PKCS #1":          {credentials: mintFor(t, rsaKey(t), ends, pkcs1)},
		"RSA in PKCS #8":          {credentials: mintFor(t, rsaKey(t), ends, pkcs8)},
		"Ed25519":                 {credentials: mintFor(t, edKey(t), ends, pkcs8)},
		"text before, as easyrsa": {credentials: etcdproxy.Credentials{Cert: "Certificate:\n    Data:\n" + good.Cert, Key: good.Key, CA: good.CA}},
		"a chain":                 {credentials: etcdproxy.Credentials{Cert: good.Cert + other.Cert, Key: good.Key, CA: good.CA}},
		"no newline at the end":   {credentials: etcdproxy.Credentials{Cert: strings.TrimSpace(good.Cert), Key: strings.TrimSpace(good.Key), CA: strings.TrimSpace(good.CA)}},
		"one live CA of two":      {credentials: etcdproxy.Credentials{Cert: good.Cert, Key: good.Key, CA: short.CA + good.CA}},

		"nothing":              {etcdproxy.Credentials{}, "there are no client credentials"},
		"key alone":            {etcdproxy.Credentials{Key: good.Key}, "client_key without client_ca and client_cert"},
		"no key":               {etcdproxy.Credentials{Cert: good.Cert, CA: good.CA}, "client_ca and client_cert without client_key"},
		"no certificate":       {etcdproxy.Credentials{Key: good.Key, CA: good.CA}, "client_ca and client_key without client_cert"},
		"other key":            {etcdproxy.Credentials{Cert: good.Cert, Key: other.Key, CA: good.CA}, "client_cert: certificate does not match its key"},
		"other order of chain": {etcdproxy.Credentials{Cert: other.Cert + good.Cert, Key: good.Key, CA: good.CA}, "client_cert: certificate does not match its key"},
		"expired":              {short, "client_cert: certificate has expired on 2023-11-14T22:29:59Z"},
		"expired CA":           {etcdproxy.Credentials{Cert: good.Cert, Key: good.Key, CA: short.CA}, "client_ca: certificate has expired on 2023-11-14T22:29:59Z"},
		"not PEM":              {etcdproxy.Credentials{Cert: "garbage", Key: good.Key, CA: good.CA}, "client_cert is not PEM"},
		"CA not PEM":           {etcdproxy.Credentials{Cert: good.Cert, Key: good.Key, CA: "garbage"}, "client_ca is not PEM"},
		"key not PEM":          {etcdproxy.Credentials{Cert: good.Cert, Key: "garbage", CA: good.CA}, "client_key is not PEM"},
		"key in the CA bundle": {etcdproxy.Credentials{Cert: good.Cert, Key: good.Key, CA: good.CA + good.Key}, "client_ca holds something that is not a certificate"},
		"key for certificate":  {etcdproxy.Credentials{Cert: good.Key, Key: good.Key, CA: good.CA}, "client_cert holds something that is not a certificate"},
		"certificate for key":  {etcdproxy.Credentials{Cert: good.Cert, Key: good.Cert, CA: good.CA}, "client_key holds something that is not a plain private key"},
		"two keys":             {etcdproxy.Credentials{Cert: good.Cert, Key: good.Key + other.Key, CA: good.CA}, "client_key does not hold exactly one private key"},
		"EC parameters alone":  {etcdproxy.Credentials{Cert: good.Cert, Key: "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", CA: good.CA}, "client_key does not hold exactly one private key"},
		"broken key":           {etcdproxy.Credentials{Cert: good.Cert, Key: strings.ReplaceAll(good.Cert, "CERTIFICATE", "PRIVATE KEY"), CA: good.CA}, "client_key holds a broken private key"},
		"broken certificate":   {etcdproxy.Credentials{Cert: strings.ReplaceAll(good.Key, "PRIVATE KEY", "CERTIFICATE"), Key: good.Key, CA: good.CA}, "client_cert holds a broken certificate"},
		"cut off":              {etcdproxy.Credentials{Cert: good.Cert + other.Cert[:100], Key: good.Key, CA: good.CA}, "client_cert holds a broken PEM block"},
		"certificate too long": {etcdproxy.Credentials{Cert: strings.Repeat("S", 1<<20), Key: good.Key, CA: good.CA}, "client_cert has 1048576 bytes, more than the 65536 allowed"},
		"key too long":         {etcdproxy.Credentials{Cert: good.Cert, Key: strings.Repeat("S", 1<<20), CA: good.CA}, "client_key has 1048576 bytes, more than the 8192 allowed"},
		"CA too long":          {etcdproxy.Credentials{Cert: good.Cert, Key: good.Key, CA: strings.Repeat("S", 1<<20)}, "client_ca has 1048576 bytes, more than the 262144 allowed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.credentials.Check(now)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, "cannot use the client credentials: "+test.want)
		})
	}
}

func TestCredentialsExpireAtTheirVeryEnd(t *testing.T) {
	t.Parallel()
	credentials := mint(t)
	require.NoError(t, credentials.Check(ends))
	require.Error(t, credentials.Check(ends+1))
	require.NoError(t, credentials.Check(issued-1000), "a slow clock of ours is no reason: the server decides")
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	member := etcdproxy.Member{Name: "etcd0", PeerURL: "https://10.0.0.5:2380"}
	good, other := mint(t), mint(t)
	tests := map[string]struct {
		data etcdproxy.Data
		want string
	}{
		"no members":         {etcdproxy.Data{Credentials: good, Version: "3.7.3"}, "cannot encode cluster: it has no members"},
		"no name":            {etcdproxy.Data{Members: []etcdproxy.Member{{PeerURL: member.PeerURL}}}, "piece 1 has no name"},
		"no URL":             {etcdproxy.Data{Members: []etcdproxy.Member{{Name: "a"}}}, "piece 1 has no URL"},
		"comma in a name":    {etcdproxy.Data{Members: []etcdproxy.Member{{Name: "x=http://g:1,y", PeerURL: member.PeerURL}}}, "contains a separator"},
		"space around":       {etcdproxy.Data{Members: []etcdproxy.Member{{Name: " a", PeerURL: member.PeerURL}}}, "contains a separator"},
		"two of a name":      {etcdproxy.Data{Members: []etcdproxy.Member{member, member}}, "has the name of"},
		"bad client URL":     {etcdproxy.Data{Members: []etcdproxy.Member{{Name: "a", PeerURL: member.PeerURL, ClientURL: "10.0.0.5:2379"}}}, "cannot encode client URLs: piece 1 is a URL that is neither"},
		"comma in a URL":     {etcdproxy.Data{Members: []etcdproxy.Member{member}, ClientURLs: []string{"http://h:1,http://g:1"}}, "one contains a separator"},
		"empty URL":          {etcdproxy.Data{Members: []etcdproxy.Member{member}, ClientURLs: []string{""}}, "cannot encode client URLs: is empty"},
		"bad version":        {etcdproxy.Data{Members: []etcdproxy.Member{member}, Version: "3.7.3 "}, "cannot encode version: is not a version"},
		"half credentials":   {etcdproxy.Data{Members: []etcdproxy.Member{member}, Credentials: etcdproxy.Credentials{Cert: good.Cert, CA: good.CA}}, "client_ca and client_cert without client_key"},
		"blank key":          {etcdproxy.Data{Members: []etcdproxy.Member{member}, Credentials: etcdproxy.Credentials{Cert: good.Cert, Key: " \n", CA: good.CA}}, "client_ca and client_cert without client_key"},
		"foreign key":        {etcdproxy.Data{Members: []etcdproxy.Member{member}, Credentials: etcdproxy.Credentials{Cert: good.Cert, Key: other.Key, CA: good.CA}}, "certificate does not match its key"},
		"many client URLs":   {etcdproxy.Data{Members: []etcdproxy.Member{member}, ClientURLs: strings.Split(strings.Repeat("x,y,", 600), ",")}, "cannot encode client URLs"},
		"version of 65 byte": {etcdproxy.Data{Members: []etcdproxy.Member{member}, Version: strings.Repeat("1", 65)}, "cannot encode version: has 65 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bag, err := etcdproxy.Encode(test.data)
			require.ErrorContains(t, err, test.want)
			assert.Nil(t, bag)
			assert.NotContains(t, err.Error(), "10.0.0.5")
		})
	}
}

func TestEncodeWritesTheProtocol(t *testing.T) {
	t.Parallel()
	credentials := mint(t)
	data := etcdproxy.Data{
		Members: []etcdproxy.Member{
			{Name: "etcd1", PeerURL: "https://10.0.0.6:2380", ClientURL: "https://10.0.0.6:2379"},
			{Name: "etcd0", PeerURL: "https://10.0.0.5:2380", ClientURL: "https://10.0.0.5:2379"},
		},
		Version: "3.7.3",
		Credentials: etcdproxy.Credentials{
			Cert: strings.TrimSpace(credentials.Cert), Key: "\n" + credentials.Key + "\n", CA: credentials.CA,
		},
	}
	bag, err := etcdproxy.Encode(data)
	require.NoError(t, err)
	// The keys are written out here, not taken from the constants: others read them.
	assert.Equal(t, map[string]string{
		"cluster":     clusterTLS,
		"client_cert": credentials.Cert,
		"client_key":  credentials.Key,
		"client_ca":   credentials.CA,
		"client_urls": "https://10.0.0.5:2379,https://10.0.0.6:2379",
		"version":     "3.7.3",
		"schema":      "1",
	}, map[string]string(bag))

	plain, err := etcdproxy.Encode(etcdproxy.Data{Members: []etcdproxy.Member{{Name: "etcd0", PeerURL: "http://10.0.0.5:2380"}}})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"cluster": clusterPlain, "schema": "1"}, map[string]string(plain), "no empty value")
}
