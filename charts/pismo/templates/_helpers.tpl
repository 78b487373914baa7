{{- define "pismo.services" -}}
{{ .Files.Get "files/services.yaml" }}
{{- end }}

{{- define "pismo.callTable" -}}
{{ .Files.Get "files/call-table.yaml" }}
{{- end }}

{{- define "pismo.name" -}}
{{- printf "%s-%s" .root.Release.Name .service | trunc 52 | trimSuffix "-" }}
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

{{/* The names of the Secrets that a service's pods and its migration read. */}}
{{- define "pismo.secret" -}}
{{- if .root.Values.demo.enabled }}{{ include "pismo.name" . }}
{{- else }}{{ required (printf "%s.existingSecret is needed: a Secret with this service's variables (or set demo.enabled=true to try Pismo)" .service) (index .root.Values .service).existingSecret }}
{{- end }}
{{- end }}

{{- define "pismo.migrationSecret" -}}
{{- if .root.Values.demo.enabled }}{{ include "pismo.name" . }}-migration
{{- else }}{{ required (printf "%s.migrationSecret is needed: a Secret with MIGRATION_DATABASE_URL" .service) (index .root.Values .service).migrationSecret }}
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

{{/* Variables as a list; later maps win. */}}
{{- define "pismo.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
