//go:build tools

// Package tools pins the helm program that renders the chart for the end-to-end tests.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
