{{- define "pgsync-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "pgsync-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "pgsync-operator.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "pgsync-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "pgsync-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* A Deployment's selector may not change, so these never do. */ -}}
{{- define "pgsync-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pgsync-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pgsync-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "pgsync-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pgsync
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pgsync-operator.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "pgsync-operator.testName" -}}
{{- printf "%s-test" (include "pgsync-operator.fullname" . | trunc 58 | trimSuffix "-") }}
{{- end }}

{{- define "pgsync-operator.leaseNamespace" -}}
{{- default .Release.Namespace .Values.leaderElection.namespace }}
{{- end }}

{{- /* What the operator and its farewell have in common. */ -}}
{{- define "pgsync-operator.args" -}}
- --log-level={{ .Values.logLevel }}
- --log-format={{ .Values.logFormat }}
{{- with .Values.leaderElection }}
- --leader-elect={{ .enabled }}
{{- if .enabled }}
- --leader-elect-namespace={{ include "pgsync-operator.leaseNamespace" $ }}
- --leader-elect-lease-duration={{ .leaseDurationSeconds }}s
- --leader-elect-renew-deadline={{ .renewDeadlineSeconds }}s
- --leader-elect-retry-period={{ .retryPeriodSeconds }}s
{{- end }}
{{- end }}
{{- range .Values.watchNamespaces }}
- --namespace={{ . }}
{{- end }}
{{- end }}

{{- /* What the operator may do in a namespace that it watches. Secrets and ConfigMaps are read by name: a watch of one
name needs list and watch, and which names is only known from the PgSyncs. */ -}}
{{- define "pgsync-operator.rules" -}}
{{ include "pgsync-operator.pgsyncRules" . }}
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.worker.pods.enabled }}
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, create, patch]
# Also what a pod's Role has: a Role cannot give more than its maker may do.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, patch]
{{- end }}
{{- end }}

{{- define "pgsync-operator.pgsyncRules" -}}
- apiGroups: [pgsync.io]
  resources: [pgsyncs]
  verbs: [get, list, watch, patch]
- apiGroups: [pgsync.io]
  resources: [pgsyncs/status]
  verbs: [get, patch]
- apiGroups: [pgsync.io]
  resources: [pgsyncs/finalizers]
  verbs: [update]
{{- end }}

{{- /* Whether the namespace of a PgSync is being deleted, and whether the operator of another installation, which a PgSync
names, is alive. */ -}}
{{- define "pgsync-operator.clusterRules" -}}
- apiGroups: [""]
  resources: [namespaces]
  {{- with .Values.watchNamespaces }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [pgsync-operator]
  verbs: [get]
{{- end }}

{{- /* list ROOT ALERT: where the page about an alert is. */ -}}
{{- define "pgsync-operator.runbook" -}}
{{- $root := index . 0 }}
{{- printf "%s#%s" $root.Values.metrics.prometheusRule.runbookURL (lower (index . 1)) }}
{{- end }}
