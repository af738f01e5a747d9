package mailmanager

import "strings"

// Partition is the part of AWS that a region belongs to, as ARNs name it.
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	case strings.HasPrefix(region, "eusc-"):
		return "aws-eusc"
	default:
		return "aws"
	}
}

// ARN is the Amazon Resource Name of something in a region and account.
func ARN(service, region, account, resource string) string {
	return "arn:" + Partition(region) + ":" + service + ":" + region + ":" + account + ":" + resource
}

// UserARN names a user of an account, or its root when there is no user, in the partition of a region.
func UserARN(region, account, user string) string {
	resource := "root"
	if user != "" {
		resource = "user/" + user
	}
	return "arn:" + Partition(region) + ":iam::" + account + ":" + resource
}
