package model

// tools are all hook tools of all versions, by name.
var tools = newTools()

func newTools() map[string]tool {
	flagBool := func(names ...string) func(*call) {
		return func(k *call) {
			for _, name := range names {
				k.flags.Bool(name, false, "")
			}
		}
	}
	flagString := func(names ...string) func(*call) {
		return func(k *call) {
			for _, name := range names {
				k.flags.String(name, "", "")
			}
		}
	}
	smartOut, yamlOut := formatFlag("smart"), formatFlag("yaml")
	all := func(k *call) { k.flags.BoolP("all", "a", false, "print all keys") }
	strict := flagBool("strict")
	logLevel := func(k *call) {
		k.flags.StringP("log-level", "l", "INFO", "send log message at the given level")
		k.flags.Bool("debug", false, "log at DEBUG level")
	}
	file := flagString("file")
	return map[string]tool{
		"action-fail":             {nil, inAction(actionFail)},
		"action-get":              {smartOut, inAction(actionGet)},
		"action-log":              {nil, inAction(actionLog)},
		"action-set":              {nil, inAction(actionSet)},
		"application-version-set": {nil, versionSet},
		"close-port":              {flagString("endpoints"), setPort(false)},
		"config-get":              {flagSet(smartOut, all), configGet},
		"goal-state":              {yamlOut, goalState},
		"is-leader":               {smartOut, isLeader},
		"juju-log":                {logLevel, jujuLog},
		"juju-reboot":             {flagBool("now"), jujuReboot},
		"leader-get":              {smartOut, leaderGet},
		"leader-set":              {nil, leaderSet},
		"network-get":             {flagSet(smartOut, relationFlag, flagBool(networkFlags...)), networkGet},
		"open-port":               {flagString("endpoints"), setPort(true)},
		"opened-ports":            {flagSet(smartOut, flagBool("endpoints")), openedPorts},
		"relation-get":            {flagSet(smartOut, relationFlag, flagBool("app")), relationGet},
		"relation-ids":            {smartOut, relationIDs},
		"relation-list":           {flagSet(smartOut, relationFlag, flagBool("app")), relationList},
		"relation-model-get":      {flagSet(smartOut, relationFlag), relationModelGet},
		"relation-set":            {flagSet(relationFlag, file, flagBool("app")), relationSet},
		"secret-add":              {secretFlags, secretAdd},
		"secret-get":              {flagSet(yamlOut, flagString("label"), flagBool("refresh", "peek")), secretGet},
		"secret-grant":            {flagSet(relationFlag, flagString("unit")), secretGrant(true)},
		"secret-ids":              {smartOut, secretIDs},
		"secret-info-get":         {flagSet(yamlOut, flagString("label")), secretInfoGet},
		"secret-remove":           {func(k *call) { k.flags.Int("revision", 0, "") }, secretRemove},
		"secret-revoke":           {flagSet(relationFlag, flagString("app", "unit")), secretGrant(false)},
		"secret-set":              {secretFlags, secretSet},
		"state-delete":            {nil, stateDelete},
		"state-get":               {flagSet(smartOut, strict), stateGet},
		"state-set":               {file, stateSet},
		"status-get":              {flagSet(smartOut, flagBool("include-data", "application")), statusGet},
		"status-set":              {flagBool("application"), statusSet},
		"unit-get":                {smartOut, unitGet},
	}
}
