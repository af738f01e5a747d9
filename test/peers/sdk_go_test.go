package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"sluice/test/harness"
)

// goSDK is the AWS SDK for Go, called by the names of its operations.
type goSDK struct{ api *mailmanager.Client }

func startGoSDK(_ *testing.T, server *harness.Server, region string) client {
	options := server.MailManager().Options()
	options.Region = region
	return &goSDK{mailmanager.New(options)}
}

func (s *goSDK) call(ctx context.Context, c call) answer {
	method := reflect.ValueOf(s.api).MethodByName(c.Operation)
	if !method.IsValid() {
		return answer{Broken: "the SDK has no such operation"}
	}
	input := reflect.New(method.Type().In(1).Elem())
	if err := fill(input.Elem(), c.Input); err != nil {
		return answer{Broken: err.Error()}
	}
	if c.PageSize > 0 {
		return s.pages(ctx, c, input)
	}
	results := method.Call([]reflect.Value{reflect.ValueOf(ctx), input})
	if err, _ := results[1].Interface().(error); err != nil {
		return refusalOf(err)
	}
	output, err := tree(results[0])
	if err != nil {
		return answer{Broken: err.Error()}
	}
	return answer{Outputs: []map[string]any{output.(map[string]any)}}
}

func (s *goSDK) pages(ctx context.Context, c call, input reflect.Value) answer {
	start, ok := paginators[c.Operation]
	if !ok {
		return answer{Broken: "there is no paginator for it in the test's table"}
	}
	input.Elem().FieldByName("PageSize").Set(reflect.ValueOf(aws.Int32(int32(c.PageSize))))
	next := start(s.api, input.Interface())
	var pages answer
	for {
		page, err := next(ctx)
		if err != nil {
			return refusalOf(err)
		}
		if page == nil {
			return pages
		}
		output, err := tree(reflect.ValueOf(page))
		if err != nil {
			return answer{Broken: err.Error()}
		}
		pages.Outputs = append(pages.Outputs, output.(map[string]any))
	}
}

func refusalOf(err error) answer {
	var refused smithy.APIError
	if !errors.As(err, &refused) {
		return answer{Broken: err.Error()}
	}
	return answer{Refused: refused.ErrorCode()}
}

// paginator returns page after page, and then nil.
type paginator func(context.Context) (page any, err error)

// paginators are those of the SDK, by operation.
var paginators = map[string]func(*mailmanager.Client, any) paginator{
	"ListAddonInstances":        paginate(mailmanager.NewListAddonInstancesPaginator),
	"ListAddonSubscriptions":    paginate(mailmanager.NewListAddonSubscriptionsPaginator),
	"ListAddressListImportJobs": paginate(mailmanager.NewListAddressListImportJobsPaginator),
	"ListAddressLists":          paginate(mailmanager.NewListAddressListsPaginator),
	"ListArchiveExports":        paginate(mailmanager.NewListArchiveExportsPaginator),
	"ListArchiveSearches":       paginate(mailmanager.NewListArchiveSearchesPaginator),
	"ListArchives":              paginate(mailmanager.NewListArchivesPaginator),
	"ListIngressPoints":         paginate(mailmanager.NewListIngressPointsPaginator),
	"ListMembersOfAddressList":  paginate(mailmanager.NewListMembersOfAddressListPaginator),
	"ListRelays":                paginate(mailmanager.NewListRelaysPaginator),
	"ListRuleSets":              paginate(mailmanager.NewListRuleSetsPaginator),
	"ListTrafficPolicies":       paginate(mailmanager.NewListTrafficPoliciesPaginator),
}

// sdkPaginator is what all of them can.
type sdkPaginator[Out any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*mailmanager.Options)) (*Out, error)
}

func paginate[API, In, Options, Out any, P sdkPaginator[Out]](start func(API, *In, ...func(*Options)) P) func(*mailmanager.Client, any) paginator {
	return func(api *mailmanager.Client, input any) paginator {
		pages := start(any(api).(API), input.(*In))
		return func(ctx context.Context) (any, error) {
			if !pages.HasMorePages() {
				return nil, nil
			}
			return pages.NextPage(ctx)
		}
	}
}

// fill sets a value of the SDK to a document.
func fill(into reflect.Value, document any) error {
	switch from := document.(type) {
	case map[string]any:
		return fillMembers(into, from)
	case []any:
		list := reflect.MakeSlice(into.Type(), len(from), len(from))
		for i, element := range from {
			if err := fill(list.Index(i), element); err != nil {
				return err
			}
		}
		into.Set(list)
		return nil
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		return fill(into.Elem(), document)
	}
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into.Addr().Interface())
}

func fillMembers(into reflect.Value, members map[string]any) error {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		return fillMembers(into.Elem(), members)
	}
	for name, member := range members {
		var field reflect.Value
		if into.Kind() == reflect.Interface {
			chosen, ok := unionMember(into.Type(), name)
			if !ok {
				return fmt.Errorf("%s has no member %s", into.Type(), name)
			}
			into.Set(chosen)
			field = chosen.Elem().FieldByName("Value")
		} else if field = into.FieldByName(name); !field.IsValid() {
			return fmt.Errorf("%s has no member %s", into.Type(), name)
		}
		if err := fill(field, member); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// unionMember is a new value of the type that is a member of a union.
func unionMember(union reflect.Type, name string) (reflect.Value, bool) {
	for _, member := range unionMembers() {
		kind := reflect.TypeOf(member)
		if kind.Implements(union) && strings.HasSuffix(kind.Elem().Name(), "Member"+name) {
			return reflect.New(kind.Elem()), true
		}
	}
	return reflect.Value{}, false
}

// tree is a value of the SDK as a document.
func tree(value reflect.Value) (any, error) {
	switch value.Kind() {
	case reflect.Pointer:
		return tree(value.Elem())
	case reflect.Interface:
		return unionTree(value)
	case reflect.Slice:
		list := make([]any, value.Len())
		for i := range list {
			element, err := tree(value.Index(i))
			if err != nil {
				return nil, err
			}
			list[i] = element
		}
		return list, nil
	case reflect.Struct:
		if at, ok := value.Interface().(time.Time); ok {
			return at.Format(time.RFC3339Nano), nil
		}
		return structTree(value)
	}
	text, err := json.Marshal(value.Interface())
	if err != nil {
		return nil, err
	}
	var plain any
	err = json.Unmarshal(text, &plain)
	return plain, err
}

func unionTree(value reflect.Value) (any, error) {
	member := value.Elem()
	_, name, ok := strings.Cut(member.Elem().Type().Name(), "Member")
	if !ok {
		return nil, fmt.Errorf("union %s has a member that the SDK does not know", value.Type())
	}
	below, err := tree(member.Elem().FieldByName("Value"))
	return map[string]any{name: below}, err
}

// structTree has no member of which the SDK cannot tell that it is there.
func structTree(value reflect.Value) (any, error) {
	members := map[string]any{}
	for i := range value.NumField() {
		field := value.Type().Field(i)
		if !field.IsExported() || field.Type == reflect.TypeFor[middleware.Metadata]() {
			continue
		}
		member := value.Field(i)
		switch member.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Interface:
			if member.IsNil() {
				continue
			}
		case reflect.String:
			if member.Len() == 0 {
				continue
			}
		}
		below, err := tree(member)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field.Name, err)
		}
		members[field.Name] = below
	}
	return members, nil
}
