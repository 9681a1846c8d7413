{{- define "stagedoor.name" -}}
{{ .Values.fullnameOverride }}
{{- end }}

{{- define "stagedoor.image" -}}
{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}
{{- else }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* A ConfigMap's key for the path of a file, which may have directories that a key cannot. */}}
{{- define "stagedoor.key" -}}
{{ regexReplaceAll "[^-_.A-Za-z0-9]" (replace "/" "__" .) "-" }}
{{- end }}

{{- define "stagedoor.policiesVolume" -}}
{{- if .Values.policies.volume }}
{{- toYaml .Values.policies.volume }}
{{- else if .Values.policies.files -}}
configMap:
  name: {{ include "stagedoor.name" . }}-policies
  items:
    {{- range $path := keys .Values.policies.files | sortAlpha }}
    - key: {{ include "stagedoor.key" $path }}
      path: {{ $path | quote }}
    {{- end }}
{{- else -}}
configMap:
  name: {{ .Values.policies.configMap }}
{{- end }}
{{- end }}
