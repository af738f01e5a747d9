package archtest

// exceptions are, by rule and by what breaks it, the reasons why it may. The list is short and shrinks.
var exceptions = map[string]map[string]string{
	"size": {
		"internal/mailmanager/generate/main.go:shapes": "it prints nested literals, and is nested as they are",
		"internal/spool/memory/memory.go:Claim":        "spool.Spool's contract: who claims what, how much of it, and when",
		"internal/spool/pebble/claim.go:Claim":         "spool.Spool's contract: who claims what, how much of it, and when",
	},
	"state": {},
	"sleep": {},
}
