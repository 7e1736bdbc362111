package operator

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestListen(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		a    Address
		all  bool
		want []string
	}{
		{"wildcard", Address{"10.0.0.5", []string{"10.0.0.5"}}, true, []string{"https://0.0.0.0:2379"}},
		{"wildcard of IPv6", Address{"fd00::5", []string{"fd00::5"}}, true, []string{"https://[::]:2379"}},
		{"one address and loopback", Address{"10.0.0.5", []string{"10.0.0.5"}}, false, []string{"https://10.0.0.5:2379", "https://127.0.0.1:2379"}},
		{"a loopback address keeps to itself", Address{"127.3.0.5", []string{"127.3.0.5"}}, true, []string{"https://127.3.0.5:2379"}},
		{"a floating address cannot be bound", Address{"198.51.100.1", []string{"10.0.0.5"}}, false, []string{"https://0.0.0.0:2379"}},
		{"a name cannot be bound", Address{"node.example", []string{"10.0.0.5"}}, false, []string{"https://0.0.0.0:2379"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := look{m: Model{Config: Config{BindToAllInterfaces: test.all}}}
			assert.Equal(t, test.want, l.listen(test.a, 2379))
		})
	}
}
