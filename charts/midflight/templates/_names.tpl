{{/* Name of everything in the release's namespace: RELEASE, or RELEASE-midflight where that does not say it. */}}
{{- define "midflight.fullname" -}}
{{- if contains "midflight" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-midflight" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "midflight.operator" -}}
{{ include "midflight.fullname" . }}-operator
{{- end }}

{{- define "midflight.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "midflight.operator" .) }}
{{- else }}{{ .Values.serviceAccount.name | required "serviceAccount.name: name the ServiceAccount, as serviceAccount.create is false" }}
{{- end }}
{{- end }}

{{/* Name of what stands outside the release's namespace: two releases of one name are two things. */}}
{{- define "midflight.clusterName" -}}
{{ .Release.Namespace }}:{{ include "midflight.operator" . }}
{{- end }}

{{- define "midflight.labels" -}}
app.kubernetes.io/name: midflight
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "midflight.operatorSelector" -}}
app.kubernetes.io/name: midflight
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "midflight.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "midflight.podSecurity" -}}
{{ toYaml (merge (deepCopy .Values.podSecurityContext) (dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault"))) }}
{{- end }}

{{- define "midflight.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Where pods run and what they are pulled with: of the operator and of the jobs alike. */}}
{{- define "midflight.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Namespaces of the default AgentRuntime, as JSON: {"names": […]}. */}}
{{- define "midflight.defaultNamespaces" -}}
{{- $names := .Values.defaultRuntime.namespaces | default .Values.namespaces | default (list "default") }}
{{- range $names }}
{{- if and $.Values.namespaces (not (has . $.Values.namespaces)) }}
{{- fail (printf "defaultRuntime.namespaces: the operator does not watch %q: add it to namespaces, or take it out here" .) }}
{{- end }}
{{- end }}
{{- dict "names" $names | toJson }}
{{- end }}

{{/* Labels of jobs and of what they need. */}}
{{- define "midflight.hookLabels" -}}
{{ include "midflight.labels" . }}
app.kubernetes.io/component: hook
{{- end }}

{{/* Annotations: (list EVENTS WEIGHT). What a job needs goes before it and is gone after it; a job that failed stays for its log. */}}
{{- define "midflight.hook" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* A pod that runs one command of the image to its end: (dict "root" $ "account" NAME "args" LIST "mount" CONFIGMAP). */}}
{{- define "midflight.hookPod" -}}
restartPolicy: Never
serviceAccountName: {{ .account }}
enableServiceLinks: false
securityContext: {{ include "midflight.podSecurity" .root | nindent 2 }}
{{- include "midflight.scheduling" .root }}
containers:
  - name: hook
    image: {{ include "midflight.image" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args: {{ toYaml .args | nindent 6 }}
    resources: { requests: { cpu: 10m, memory: 64Mi }, limits: { memory: 256Mi } }
    securityContext: {{ include "midflight.containerSecurity" .root | nindent 6 }}
    volumeMounts:
      - { name: tmp, mountPath: /tmp }
      {{- with .mount }}
      - { name: values, mountPath: /etc/midflight/values, readOnly: true }
      {{- end }}
volumes:
  - { name: tmp, emptyDir: {} }
  {{- with .mount }}
  - { name: values, configMap: { name: {{ . }} } }
  {{- end }}
{{- end }}
