// Checks Prometheus rule files and expressions with Prometheus' own parsers.
//
//	promql rules FILE…   names, labels, durations, templates and expressions of rule files, as `promtool check rules` does
//	promql exprs         one expression per line of standard input; prints the metric names of each, separated by spaces
//
// Mistakes go to standard error, one per line; the exit status is 1 if there are any.
package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

func rules(files []string) (bad bool) {
	for _, file := range files {
		_, errs := rulefmt.ParseFile(file, false, model.UTF8Validation)
		for _, err := range errs {
			fmt.Fprintf(os.Stderr, "%s: %v\n", file, err)
			bad = true
		}
	}
	return bad
}

func names(expr parser.Expr) []string {
	var found []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			for _, m := range s.LabelMatchers {
				if m.Name == labels.MetricName && !slices.Contains(found, m.Value) {
					found = append(found, m.Value)
				}
			}
		}
		return nil
	})
	return found
}

func exprs() (bad bool) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		expr, err := parser.ParseExpr(lines.Text())
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", lines.Text(), err)
			bad = true
			continue
		}
		fmt.Println(strings.Join(names(expr), " "))
	}
	return bad
}

func main() {
	bad := true
	switch {
	case len(os.Args) > 2 && os.Args[1] == "rules":
		bad = rules(os.Args[2:])
	case len(os.Args) == 2 && os.Args[1] == "exprs":
		bad = exprs()
	default:
		fmt.Fprintln(os.Stderr, "usage: promql rules FILE… | promql exprs < EXPRESSIONS")
	}
	if bad {
		os.Exit(1)
	}
}
