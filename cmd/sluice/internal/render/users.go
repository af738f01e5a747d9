package render

import (
	"fmt"
	"io"
	"strings"

	"sluice/internal/admin/client"
)

// Users writes a line for every access key, and for every user without one.
func Users(w io.Writer, users []client.User) error {
	if len(users) == 0 {
		_, err := fmt.Fprintln(w, "no users")
		return err
	}
	t := table(w)
	fmt.Fprintln(t, "USER\tKEY\tSTATUS\tCREATED\tLAST USED\tPOLICIES")
	for _, user := range users {
		var policies []string
		for _, policy := range user.Policies {
			policies = append(policies, policy.Name)
		}
		names := orDash(strings.Join(policies, ", "))
		if len(user.AccessKeys) == 0 {
			fmt.Fprintf(t, "%s\t-\t-\t%s\t-\t%s\n", user.Name, moment(user.Created), names)
		}
		for _, k := range user.AccessKeys {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", user.Name, k.AccessKeyId, k.Status, moment(k.Created), moment(k.LastUsed), names)
		}
	}
	return t.Flush()
}

// Policies writes the names of policies, each with its document below.
func Policies(w io.Writer, policies []client.Policy) error {
	if len(policies) == 0 {
		_, err := fmt.Fprintln(w, "no policies: the user may do nothing")
		return err
	}
	for _, policy := range policies {
		if _, err := fmt.Fprintf(w, "%s:\n%s\n", policy.Name, policy.Document); err != nil {
			return err
		}
	}
	return nil
}

// Accounts writes a line for each account.
func Accounts(w io.Writer, accounts []client.Account) error {
	t := table(w)
	fmt.Fprintln(t, "ACCOUNT\tUSERS")
	for _, account := range accounts {
		fmt.Fprintf(t, "%s\t%d\n", account.Id, account.Users)
	}
	return t.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
