package control

import (
	"context"
	"crypto/rand"
	"math/big"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
)

// defaultRandomPassword is how long a random password is when the request does not say. Secrets Manager, GetRandomPassword.
const defaultRandomPassword = 32

// The types of characters of a random password. Secrets Manager, GetRandomPassword.
const (
	lowercase   = "abcdefghijklmnopqrstuvwxyz"
	uppercase   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	numbers     = "0123456789"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	space       = " "
)

// getRandomPassword: Secrets Manager, GetRandomPassword. Every character is as likely as any other, but that each type is there.
func (c *Control) getRandomPassword(_ context.Context, _ Scope, in *secretsmanager.GetRandomPasswordRequest) (*secretsmanager.GetRandomPasswordResponse, error) {
	length, each := int64(defaultRandomPassword), true
	replace(&length, in.PasswordLength)
	replace(&each, in.RequireEachIncludedType)
	types := passwordTypes(in)
	switch {
	case len(types) == 0:
		return nil, invalidSecret("Every character is excluded")
	case each && length < int64(len(types)):
		return nil, invalidSecret("PasswordLength is less than the number of types of characters, each of which is required")
	}
	if !each {
		types = []string{strings.Join(types, "")}
	}
	password := randomPassword(types, int(length))
	return &secretsmanager.GetRandomPasswordResponse{RandomPassword: &password}, nil
}

// passwordTypes are the types of characters that a request includes, without what it excludes.
func passwordTypes(in *secretsmanager.GetRandomPasswordRequest) (types []string) {
	excluded := mailmanager.Value(in.ExcludeCharacters)
	for _, t := range []struct {
		characters string
		out        bool
	}{
		{lowercase, mailmanager.Value(in.ExcludeLowercase)},
		{uppercase, mailmanager.Value(in.ExcludeUppercase)},
		{numbers, mailmanager.Value(in.ExcludeNumbers)},
		{punctuation, mailmanager.Value(in.ExcludePunctuation)},
		{space, !mailmanager.Value(in.IncludeSpace)},
	} {
		left := strings.Map(func(r rune) rune {
			if strings.ContainsRune(excluded, r) {
				return -1
			}
			return r
		}, t.characters)
		if !t.out && left != "" {
			types = append(types, left)
		}
	}
	return types
}

// randomPassword has a character of each type, at random places, and then any.
func randomPassword(types []string, length int) secretsmanager.SecretString {
	all, password := strings.Join(types, ""), make([]byte, length)
	for i := range password {
		from := all
		if i < len(types) {
			from = types[i]
		}
		password[i] = from[below(len(from))]
	}
	for i := length - 1; i > 0; i-- { // Fisher and Yates: every order is as likely as any other
		j := below(i + 1)
		password[i], password[j] = password[j], password[i]
	}
	return secretsmanager.SecretString(password)
}

// below is a number from 0 to n-1 that nobody can guess.
func below(n int) int {
	drawn, _ := rand.Int(rand.Reader, big.NewInt(int64(n))) // never fails
	return int(drawn.Int64())
}
