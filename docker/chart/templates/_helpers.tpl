{{- define "milvus-coord.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What never changes: a Deployment's selector. The argument: root, component. */ -}}
{{- define "milvus-coord.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
component: {{ .component }}
{{- end -}}

{{- /* The argument: the root. */ -}}
{{- define "milvus-coord.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "milvus-coord.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "milvus-coord.configMap" -}}
{{ .Values.existingConfigMap | default (include "milvus-coord.fullname" .) }}
{{- end -}}

{{- /* Settings that hold what other values say; secrets come by environment variables. */ -}}
{{- define "milvus-coord.settings" -}}
etcd:
  endpoints:
  {{- if not .Values.externalEtcd.endpoints }}
    {{- fail "externalEtcd.endpoints or existingConfigMap must be set" }}
  {{- end }}
  {{- range .Values.externalEtcd.endpoints }}
    - {{ . | quote }}
  {{- end }}
  rootPath: {{ .Values.externalEtcd.rootPath | quote }}
  {{- if .Values.externalEtcd.existingSecret }}
  auth:
    enabled: true
  {{- end }}
  {{- if .Values.externalEtcd.tls.existingSecret }}
  ssl:
    enabled: true
    tlsCACert: /milvus/etcd-tls/ca.crt
    {{- if .Values.externalEtcd.tls.clientCertificate }}
    tlsCert: /milvus/etcd-tls/tls.crt
    tlsKey: /milvus/etcd-tls/tls.key
    {{- end }}
  {{- end }}
metastore:
  type: etcd
{{- if and .Values.externalKafka.enabled .Values.externalPulsar.enabled }}
  {{- fail "of externalKafka and externalPulsar only one can be enabled" }}
{{- end }}
{{- with .Values.externalKafka }}
{{- if .enabled }}
mq:
  type: kafka
kafka:
  brokerList: {{ required "externalKafka.brokerList must be set" .brokerList | quote }}
  {{- if .sasl.existingSecret }}
  securityProtocol: {{ .securityProtocol }}
  saslMechanisms: {{ .sasl.mechanisms }}
  {{- end }}
  {{- if .tls.existingSecret }}
  producer:
    {{- if not .sasl.existingSecret }}
    security.protocol: ssl
    {{- end }}
    ssl.ca.location: /milvus/kafka-tls/ca.crt
  {{- end }}
{{- end }}
{{- end }}
{{- with .Values.externalPulsar }}
{{- if .enabled }}
mq:
  type: pulsar
pulsar:
  address: {{ required "externalPulsar.host must be set" .host | quote }}
  port: {{ .port }}
  tenant: {{ .tenant | quote }}
  namespace: {{ .namespace | quote }}
  {{- with .authPlugin }}
  authPlugin: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- range $role := list "root" "data" "query" }}
{{ $role }}Coord:
  port: {{ (index $.Values (printf "%sCoordinator" $role)).service.port }}
{{- end }}
log:
  level: {{ .Values.log.level }}
  format: {{ .Values.log.format }}
{{- end -}}
