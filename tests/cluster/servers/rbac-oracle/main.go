// Upstream's RBAC authorizer, as an oracle: it reads worlds of roles and bindings with requests, one
// JSON object a line, and writes for each line which of the requests it allows.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/kubernetes/pkg/registry/rbac/validation"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

type world struct {
	Objects struct {
		Items []json.RawMessage `json:"items"`
	} `json:"objects"`
	Requests []request `json:"requests"`
}

type request struct {
	User        string   `json:"user"`
	Groups      []string `json:"groups"`
	Verb        string   `json:"verb"`
	Group       string   `json:"group"`
	Resource    string   `json:"resource"`
	Subresource string   `json:"subresource"`
	Namespace   string   `json:"namespace"`
	Name        string   `json:"name"`
	Path        *string  `json:"path"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		allowed, err := answer(lines.Bytes())
		if err == nil {
			err = answers.Encode(allowed)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer(line []byte) ([]bool, error) {
	var asked world
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	var roles []*rbacv1.Role
	var roleBindings []*rbacv1.RoleBinding
	var clusterRoles []*rbacv1.ClusterRole
	var clusterRoleBindings []*rbacv1.ClusterRoleBinding
	for _, raw := range asked.Objects.Items {
		var head struct{ Kind string }
		if err := json.Unmarshal(raw, &head); err != nil {
			return nil, err
		}
		var err error
		switch head.Kind {
		case "Role":
			roles, err = add(roles, raw)
		case "RoleBinding":
			roleBindings, err = add(roleBindings, raw)
		case "ClusterRole":
			clusterRoles, err = add(clusterRoles, raw)
		case "ClusterRoleBinding":
			clusterRoleBindings, err = add(clusterRoleBindings, raw)
		default:
			err = fmt.Errorf("an object of kind %q", head.Kind)
		}
		if err != nil {
			return nil, err
		}
	}
	_, static := validation.NewTestRuleResolver(roles, roleBindings, clusterRoles, clusterRoleBindings)
	decider := rbac.New(static, static, static, static)
	allowed := make([]bool, 0, len(asked.Requests))
	for _, request := range asked.Requests {
		// Errors tell of roles that are missing; the other bindings still count.
		decision, _, _ := decider.Authorize(context.Background(), request.attributes())
		allowed = append(allowed, decision == authorizer.DecisionAllow)
	}
	return allowed, nil
}

func add[T any](list []*T, raw []byte) ([]*T, error) {
	object := new(T)
	if err := json.Unmarshal(raw, object); err != nil {
		return nil, err
	}
	return append(list, object), nil
}

func (r request) attributes() authorizer.Attributes {
	record := authorizer.AttributesRecord{
		User:            &user.DefaultInfo{Name: r.User, Groups: r.Groups},
		Verb:            r.Verb,
		ResourceRequest: r.Path == nil,
	}
	if r.Path != nil {
		record.Path = *r.Path
		return record
	}
	record.APIGroup = r.Group
	record.Resource = r.Resource
	record.Subresource = r.Subresource
	record.Namespace = r.Namespace
	record.Name = r.Name
	return record
}
