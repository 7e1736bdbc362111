package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server that shows another time than its clock was set to is reported; a silent one is not.
func TestListen(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
	}))
	k := clock{server: server.URL}
	listen := func(off time.Duration) (bool, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return k.listen(ctx, off)
	}
	heard, err := listen(-time.Hour)
	require.NoError(t, err)
	assert.True(t, heard)
	for _, off := range []time.Duration{0, time.Hour, 5*time.Second - time.Hour, -5*time.Second - time.Hour} {
		heard, err = listen(off)
		require.ErrorIs(t, err, errClock, "off by %v", off)
		assert.False(t, heard)
	}
	server.Close()
	heard, err = listen(-time.Hour)
	require.NoError(t, err)
	assert.False(t, heard)
}
