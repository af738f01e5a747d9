package postgres

// CheckSettings is what Open says to a server with those settings.
func CheckSettings(version int, encoding, fsync, synchronousCommit string) error {
	return settings{version, encoding, fsync, synchronousCommit}.check()
}
