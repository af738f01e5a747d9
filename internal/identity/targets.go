package identity

import (
	"context"
	"reflect"
	"strings"

	"sluice/internal/admin/client"
	"sluice/internal/awsapi"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
)

// question is a request while it is decided on.
type question struct {
	ctx       context.Context
	caller    *awsapi.Caller
	service   string
	operation string
	input     any // a pointer to a structure
	resources Resources
	err       error // why something could not be looked up
}

func (q *question) scope() control.Scope {
	return control.Scope{Account: q.caller.Account, Region: q.caller.Region}
}

// target is one thing that a request is about.
type target struct {
	action string // empty: the request's
	arn    string
	every  bool   // the arn ends in a * that stands for whatever there is
	shown  string // the ARN as the caller may see it, who may not know what there is; empty: arn
}

// anything is the resource of requests that are about none.
const anything = "*"

func nothing(*question) []target { return []target{{arn: anything}} }

// every is what may be about any resource of a type: each that there is.
func every(kind string) func(*question) []target {
	return func(q *question) []target { return []target{{arn: q.mail(kind, anything), every: true}} }
}

// made is what makes a resource of a type.
func made(kind string) func(*question) []target {
	return func(q *question) []target { return []target{{arn: q.mail(kind, anything)}} }
}

// named is a resource that a member of the input names by its id; or by its ARN, which then is that.
func named(kind, member string) func(*question) []target {
	return func(q *question) []target { return []target{{arn: q.mail(kind, text(q.input, member))}} }
}

// mail is the ARN of a resource of Mail Manager, given its id. An ARN stays: the handlers compare it as a whole.
func (q *question) mail(kind, id string) string {
	if strings.HasPrefix(id, "arn:") {
		return id
	}
	return mailmanager.ARN(serviceMail, q.caller.Region, q.caller.Account, kind+"/"+id)
}

// given is a resource whose ARN is in the input.
func given(member string) func(*question) []target {
	return func(q *question) []target { return []target{{arn: text(q.input, member)}} }
}

// own is a resource of the admin API, by its id.
func own(kind, member string) func(*question) []target {
	return func(q *question) []target { return []target{{arn: q.ours(kind, text(q.input, member))}} }
}

func (q *question) ours(kind, id string) string {
	return mailmanager.ARN(serviceAdmin, q.caller.Region, q.caller.Account, kind+"/"+id)
}

// secret is a secret by its name or ARN. Policies name secrets by ARNs, so the name is looked up; what is shown tells
// nothing of that.
func secret(member string) func(*question) []target {
	return func(q *question) []target {
		name := text(q.input, member)
		if name == "" {
			return nothing(q)
		}
		return []target{q.secret(name)}
	}
}

func (q *question) secret(name string) target {
	t := target{shown: name}
	if !strings.HasPrefix(name, "arn:") {
		t.shown = control.NewSecretARN(q.scope(), name)
	}
	var err error
	if t.arn, err = q.resources.SecretARN(q.ctx, q.scope(), name); err != nil {
		q.err = err
	}
	return t
}

// secretBatch is the batch, and the values of the secrets in it: of all that there are, when filters choose them.
func secretBatch(q *question) []target {
	list := nothing(q)
	ids := q.input.(*secretsmanager.BatchGetSecretValueRequest).SecretIdList
	for _, id := range ids {
		list = append(list, q.secret(id))
	}
	if len(ids) == 0 {
		list = append(list, target{arn: mailmanager.ARN(serviceSecrets, q.caller.Region, q.caller.Account, "secret:"+anything), every: true})
	}
	for i := range list[1:] {
		list[i+1].action = readSecret
	}
	return list
}

// readSecret is the action of whoever learns what is in a secret.
const readSecret = serviceSecrets + ":GetSecretValue"

// using is what an operation is about, and the secret that a member of its input names: a relay sends it to whatever host it names,
// so that who may not read a secret may not have one use it either.
func using(member string, targets func(*question) []target) func(*question) []target {
	return func(q *question) []target {
		list := targets(q)
		if in, ok := field(q.input, member); ok {
			if arn := text(in.Interface(), "SecretArn"); arn != "" {
				list = append(list, target{action: readSecret, arn: arn})
			}
		}
		return list
	}
}

func newSecret(member string) func(*question) []target {
	return func(q *question) []target {
		return []target{{arn: control.NewSecretARN(q.scope(), text(q.input, member))}}
	}
}

// steered is the messages that an act on the queue names, or all; and what they are rerouted to.
func steered(q *question) []target {
	in := q.input.(*client.SteerInput)
	var list []target
	for _, item := range in.Items {
		list = append(list, target{arn: q.ours(typeMessage, item.MessageId)})
	}
	if in.Filter != nil || len(list) == 0 {
		list = append(list, target{arn: q.ours(typeMessage, anything), every: true})
	}
	if in.RelayId != "" {
		list = append(list, target{arn: q.mail(typeRelay, in.RelayId)})
	}
	if in.RuleSetId != "" {
		list = append(list, target{arn: q.mail(typeRuleSet, in.RuleSetId)})
	}
	return list
}

func aUser(q *question) []target {
	return []target{{arn: mailmanager.UserARN(q.caller.Region, q.caller.Account, text(q.input, "User"))}}
}

// createdUser is a user that is made. To give it policies is an action of its own: who may make users may not, by that
// alone, make one that may do more.
func createdUser(q *question) []target {
	all := aUser(q)
	if len(q.input.(*client.CreateUserInput).Policies) > 0 {
		all = append(all, target{action: serviceAdmin + ":" + client.OpPutUserPolicy, arn: all[0].arn})
	}
	return all
}

// text is a member of an input that is a string; empty when the request does not have it. A test holds that every member of
// the tables is there.
func text(input any, member string) string {
	value, ok := field(input, member)
	if !ok || value.Kind() != reflect.String {
		return ""
	}
	return value.String()
}

// field is a member of an input. ok is false when the input has no such member or the request does not.
func field(input any, member string) (value reflect.Value, ok bool) {
	in := indirect(reflect.ValueOf(input))
	if in.Kind() != reflect.Struct {
		return value, false
	}
	value = indirect(in.FieldByName(member))
	return value, value.IsValid()
}

// indirect is what a pointer points to: no value when it is nil.
func indirect(value reflect.Value) reflect.Value {
	if value.Kind() == reflect.Pointer {
		return value.Elem()
	}
	return value
}
