{{- define "pismo.services" -}}
{{ .Files.Get "files/services.yaml" }}
{{- end }}

{{- define "pismo.callTable" -}}
{{ .Files.Get "files/call-table.yaml" }}
{{- end }}

{{/* Most templates below take a scope: `root`, the release, and `service`, whose object it is. */}}
{{- define "pismo.name" -}}
{{- if gt (len .root.Release.Name) 30 }}{{ fail (printf "the release's name %s is too long: at most 30 characters, since names are made from it" .root.Release.Name) }}{{ end }}
{{- .root.Release.Name }}-{{ .service }}
{{- end }}

{{/* Name, namespace and labels of an object; `suffix` tells apart what a service has several of, `labels` adds some. */}}
{{- define "pismo.metadata" -}}
name: {{ include "pismo.name" . }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels: {{ include "pismo.labels" . | nindent 2 }}
  {{- with .labels }}{{ toYaml . | nindent 2 }}{{- end }}
{{- end }}

{{- define "pismo.selector" -}}
app.kubernetes.io/name: pismo
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .service }}
{{- end }}

{{- define "pismo.labels" -}}
{{ include "pismo.selector" . }}
app.kubernetes.io/version: {{ include "pismo.tag" . | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: pismo
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "pismo.tag" -}}
{{- .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "pismo.image" -}}
{{- $own := (index .root.Values .service).image }}
{{- if $own }}{{ $own }}
{{- else }}
{{- $image := .root.Values.image }}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}/{{ .service }}:{{ include "pismo.tag" . }}
{{- end }}
{{- end }}

{{/* Whether the sandbox plays Telegram in this release. */}}
{{- define "pismo.sandbox" -}}
{{- if or .Values.demo.enabled .Values.sandbox.enabled }}true{{ end }}
{{- end }}

{{/* The names of the Secrets that a service's pods and its migration read. One's own win, also in a demo. */}}
{{- define "pismo.secret" -}}
{{- $given := (index .root.Values .service).existingSecret }}
{{- if $given }}{{ $given }}
{{- else if .root.Values.demo.enabled }}{{ include "pismo.name" . }}
{{- else }}{{ fail (printf "%s.existingSecret is needed: a Secret with this service's variables (or set demo.enabled=true to try Pismo)" .service) }}
{{- end }}
{{- end }}

{{- define "pismo.migrationSecret" -}}
{{- $given := (index .root.Values .service).migrationSecret }}
{{- if $given }}{{ $given }}
{{- else if and .root.Values.demo.enabled (not (index .root.Values .service).existingSecret) }}{{ include "pismo.name" . }}-migration
{{- else }}{{ fail (printf "%s.migrationSecret is needed: a Secret with MIGRATION_DATABASE_URL" .service) }}
{{- end }}
{{- end }}

{{- define "pismo.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "pismo.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "pismo.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "pismo.tlsEnabled" -}}
{{- $given := list }}{{- $missing := list }}
{{- range $service, $secret := .Values.tls.existingSecrets }}
{{- if $secret }}{{ $given = append $given $service }}{{ else }}{{ $missing = append $missing $service }}{{ end }}
{{- end }}
{{- if and $given $missing }}{{ fail (printf "tls.existingSecrets: mTLS needs a Secret for every service; missing: %s" (join ", " $missing)) }}{{ end }}
{{- if $given }}true{{ end }}
{{- end }}

{{/* How many pods where values leave it open: one in a demo, else what files/services.yaml says. */}}
{{- define "pismo.replicas" -}}
{{- if kindIs "invalid" .given }}
{{- if .root.Values.demo.enabled }}1{{ else }}{{ index (include "pismo.services" .root | fromYaml) .service "replicas" }}{{ end }}
{{- else }}{{ .given }}{{ end }}
{{- end }}

{{/* What a service's process reads: for its pods, and for a pod that acts as the service. Later maps win. */}}
{{- define "pismo.environment" -}}
{{- $service := .service }}
{{- $root := .root }}
{{- $services := include "pismo.services" $root | fromYaml }}
{{- $env := dict "LISTEN_ADDRESS" "0.0.0.0" "DRAIN_SECONDS" "60" "DRAIN_NOTICE_SECONDS" "5" }}
{{- range $callee, $callers := include "pismo.callTable" $root | fromYaml }}
{{- if hasKey $callers $service }}
{{- $target := printf "dns:///%s.%s.svc:%v" (include "pismo.name" (dict "root" $root "service" $callee)) $root.Release.Namespace (index $services $callee).grpcPort }}
{{- $env = set $env (printf "%s_TARGET" (upper $callee)) $target }}
{{- end }}
{{- end }}
{{- if include "pismo.tlsEnabled" $root }}
{{- $env = merge (dict "TLS_CERT_FILE" "/tls/tls.crt" "TLS_KEY_FILE" "/tls/tls.key" "TLS_CA_FILE" "/tls/ca.crt" "CALL_TABLE_FILE" "/call-table/call-table.yaml") $env }}
{{- end }}
{{- if and (eq $service "gateway") $root.Values.ingress.enabled }}
{{- $env = set $env "TELEGRAM_WEBHOOK_URL" (printf "https://%s/telegram" $root.Values.ingress.host) }}
{{- end }}
{{- if include "pismo.sandbox" $root }}
{{- $env = set $env "SANDBOX" "1" }}
{{- if eq $service "gateway" }}
{{- $sandbox := include "pismo.name" (dict "root" $root "service" "sandbox") }}
{{- $env = set $env "TELEGRAM_API_URL" (printf "http://%s.%s.svc:8090" $sandbox $root.Release.Namespace) }}
{{- end }}
{{- end }}
envFrom:
  - secretRef: {name: {{ include "pismo.secret" . }}}
env:
  - name: INSTANCE
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  {{- range $name, $value := merge (dict) (index $root.Values $service).env $root.Values.env $env }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
{{- end }}

{{- define "pismo.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if include "pismo.tlsEnabled" .root }}
- {name: tls, mountPath: /tls, readOnly: true}
- {name: call-table, mountPath: /call-table, readOnly: true}
{{- end }}
{{- end }}

{{- define "pismo.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- if include "pismo.tlsEnabled" .root }}
- name: tls
  secret: {secretName: {{ index .root.Values.tls.existingSecrets .service }}}
- name: call-table
  configMap: {name: {{ include "pismo.name" (dict "root" .root "service" "call-table") }}}
{{- end }}
{{- end }}
