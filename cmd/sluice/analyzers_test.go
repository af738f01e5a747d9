package main

import "testing"

func TestAnalyzersOfTheFile(t *testing.T) {
	cfg, err := parseServe(t, nil, "--config", configFile(t, "[analyzers.SPAMHAUS_DBL]\n[analyzers.TRENDMICRO_VSAPI]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"SPAMHAUS_DBL": true, "TRENDMICRO_VSAPI": true, "ABUSIX_MAIL_INTELLIGENCE": false, "spamhaus_dbl": false, "": false,
	} {
		if got := cfg.hasAnalyzer(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}
