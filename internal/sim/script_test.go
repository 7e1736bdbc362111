package sim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// programVar makes the test program the juju-sim program.
const programVar = "JUJU_SIM_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVar) != "" {
		os.Exit(Program(Options{Env: testEnv}, os.Args[1:]))
	}
	Main(m)
}

// testEnv tells the tests' charms the root of their machine.
var testEnv = []string{"SIM_ROOT=" + RootVar}

func TestScripts(t *testing.T) {
	t.Parallel()
	charms, err := filepath.Abs("testdata/charms")
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/scripts",
		Cmds: Cmds(t.Context(), Options{Env: testEnv}),
		Setup: func(env *testscript.Env) error {
			env.Setenv("CHARMS", charms)
			env.Setenv("PATH", os.Getenv("PATH"))
			return nil
		},
	})
}
