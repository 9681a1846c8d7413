//! The Helm chart's templates are the manifests that `stagedoor deploy kubernetes` writes, with
//! values in the places below: one source, so that the two cannot differ.
//!
//! `UPDATE_GENERATED=1` writes them anew.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use stagedoor_kubernetes::{DEPLOY_MANIFESTS, POLICY_SET_MANIFESTS};

/// What stands in a manifest, and what in the template.
type Places = &'static [(&'static str, &'static str)];

/// Of all manifests: names and the namespace, wherever they occur.
const NAMES: Places = &[
    ("namespace: stagedoor\n", "namespace: {{ .Release.Namespace }}\n"),
    ("name: stagedoor\n", "name: {{ include \"stagedoor.name\" . }}\n"),
    ("serviceAccountName: stagedoor\n", "serviceAccountName: {{ include \"stagedoor.name\" . }}\n"),
];

/// Of the webhook's manifest. Each is there exactly once.
const WEBHOOK: Places = &[
    // Helm makes the namespace (`--create-namespace`), or finds it.
    (
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: stagedoor\n  labels:\n    pod-security.kubernetes.io/enforce: restricted\n---\n",
        "",
    ),
    // The API of the cluster asks who reads releases there.
    (
        "      serviceAccountName: stagedoor\n      automountServiceAccountToken: false\n",
        "      serviceAccountName: stagedoor\n      automountServiceAccountToken: {{ hasPrefix \"kubernetes://\" .Values.policies.release.source }}\n",
    ),
    ("  replicas: 2\n", "  replicas: {{ .Values.replicas }}\n"),
    (
        "  template:\n    metadata:\n      labels:\n",
        "  template:\n    metadata:\n      {{- with .Values.podAnnotations }}\n      annotations:\n        {{- toYaml . | nindent 8 }}\n      {{- end }}\n      labels:\n",
    ),
    (
        "      priorityClassName: system-cluster-critical\n",
        "      {{- with .Values.priorityClassName }}\n      priorityClassName: {{ . }}\n      {{- end }}\n      {{- with .Values.image.pullSecrets }}\n      imagePullSecrets:\n        {{- toYaml . | nindent 8 }}\n      {{- end }}\n      {{- with .Values.nodeSelector }}\n      nodeSelector:\n        {{- toYaml . | nindent 8 }}\n      {{- end }}\n      {{- with .Values.tolerations }}\n      tolerations:\n        {{- toYaml . | nindent 8 }}\n      {{- end }}\n      {{- with .Values.affinity }}\n      affinity:\n        {{- toYaml . | nindent 8 }}\n      {{- end }}\n",
    ),
    (
        "          # Replace with an image of yours, pinned by digest.\n          image: registry.example.com/stagedoor:0.1.0\n",
        "          image: {{ include \"stagedoor.image\" . | quote }}\n          imagePullPolicy: {{ .Values.image.pullPolicy }}\n",
    ),
    (
        "            - --policies=/etc/stagedoor/policies\n",
        "            {{- with .Values.policies.release }}\n            {{- if .source }}\n            - --source={{ .source }}\n            - --trust=/etc/stagedoor/trust/trust.yaml\n            - --state=/var/lib/stagedoor\n            {{- if .registrySecret }}\n            - --registry-config=/etc/stagedoor/registry/config.json\n            {{- end }}\n            {{- else }}\n            - --policies=/etc/stagedoor/policies\n            {{- end }}\n            {{- end }}\n",
    ),
    (
        "            # Whole directories: a subPath would never see a change.\n            - name: policies\n              mountPath: /etc/stagedoor/policies\n              readOnly: true\n",
        "            # Whole directories: a subPath would never see a change.\n            {{- if .Values.policies.release.source }}\n            - name: trust\n              mountPath: /etc/stagedoor/trust\n              readOnly: true\n            # The last good sets: with them it starts without the registry.\n            - name: state\n              mountPath: /var/lib/stagedoor\n            {{- if .Values.policies.release.registrySecret }}\n            - name: registry\n              mountPath: /etc/stagedoor/registry\n              readOnly: true\n            {{- end }}\n            {{- else }}\n            - name: policies\n              mountPath: /etc/stagedoor/policies\n              readOnly: true\n            {{- end }}\n",
    ),
    (
        "            - --log-format=json\n",
        "            - --log-format=json\n            {{- if .Values.rules.volume }}\n            - --rules=/etc/stagedoor/rules\n            {{- end }}\n            {{- range .Values.extraArgs }}\n            - {{ . | quote }}\n            {{- end }}\n",
    ),
    (
        "          resources:\n            requests:\n              cpu: 100m\n              memory: 128Mi\n            limits:\n              memory: 512Mi\n",
        "          resources:\n            {{- toYaml .Values.resources | nindent 12 }}\n",
    ),
    (
        "            - name: clients\n              mountPath: /etc/stagedoor/clients\n              readOnly: true\n",
        "            - name: clients\n              mountPath: /etc/stagedoor/clients\n              readOnly: true\n            {{- if .Values.rules.volume }}\n            - name: rules\n              mountPath: /etc/stagedoor/rules\n              readOnly: true\n            {{- end }}\n",
    ),
    (
        "        - name: policies\n          configMap:\n            name: stagedoor-policies\n",
        "        {{- with .Values.policies.release }}\n        {{- if .source }}\n        - name: trust\n          configMap:\n            name: {{ .trustConfigMap }}\n        - name: state\n          {{- toYaml .state | nindent 10 }}\n        {{- if .registrySecret }}\n        - name: registry\n          secret:\n            secretName: {{ .registrySecret }}\n            defaultMode: 0440\n            items:\n              - key: .dockerconfigjson\n                path: config.json\n        {{- end }}\n        {{- end }}\n        {{- end }}\n        {{- if not .Values.policies.release.source }}\n        - name: policies\n          {{- include \"stagedoor.policiesVolume\" . | nindent 10 }}\n        {{- end }}\n",
    ),
    (
        "            secretName: stagedoor-tls\n",
        "            secretName: {{ .Values.tls.secretName }}\n",
    ),
    (
        "          configMap:\n            name: stagedoor-clients\n",
        "          configMap:\n            name: {{ .Values.tls.clientConfigMap }}\n        {{- with .Values.rules.volume }}\n        - name: rules\n          {{- toYaml . | nindent 10 }}\n        {{- end }}\n",
    ),
    ("  clusterIP: 10.96.0.44\n", "  clusterIP: {{ .Values.service.clusterIP }}\n"),
    (
        "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\n",
        "{{- if .Values.podDisruptionBudget.enabled }}\n---\napiVersion: policy/v1\nkind: PodDisruptionBudget\n",
    ),
    (
        "---\n# Nothing is asked of anybody: no traffic goes out.\n",
        "{{- end }}\n{{- if .Values.networkPolicy.enabled }}\n---\n# Nothing is asked of anybody: no traffic goes out.\n",
    ),
    (
        "  egress: []\n",
        "  {{- if .Values.policies.release.source }}\n  # But releases are asked for, and the address of where they are.\n  egress:\n    {{- toYaml .Values.policies.release.egress | nindent 4 }}\n  {{- else }}\n  egress: []\n  {{- end }}\n{{- end }}\n",
    ),
];

/// Of what says who writes the policies.
const WRITERS: Places = &[
    (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n",
        "{{- if .Values.policyWriters.enabled }}\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n",
    ),
    (
        "    resourceNames: [stagedoor-policies]\n",
        "    resourceNames: [{{ .Values.policies.configMap | default (printf \"%s-policies\" (include \"stagedoor.name\" .)) }}]\n",
    ),
    (
        "    name: platform-admins\n",
        "    name: {{ .Values.policyWriters.group | quote }}\n{{- end }}\n",
    ),
];

/// Of who may read and publish releases that are objects: where the sets are.
const SET_ACCESS: Places = &[
    (
        "# What replicas need of the API",
        "{{- if hasPrefix \"kubernetes://\" .Values.policies.release.source }}\n{{- $namespace := index (splitList \"/\" .Values.policies.release.source) 2 }}\n# What replicas need of the API",
    ),
    (
        "kind: Role\nmetadata:\n  name: stagedoor-replica\n  namespace: stagedoor\n",
        "kind: Role\nmetadata:\n  name: stagedoor-replica\n  namespace: {{ $namespace }}\n",
    ),
    (
        "kind: RoleBinding\nmetadata:\n  name: stagedoor-replica\n  namespace: stagedoor\n",
        "kind: RoleBinding\nmetadata:\n  name: stagedoor-replica\n  namespace: {{ $namespace }}\n",
    ),
    (
        "kind: Role\nmetadata:\n  name: stagedoor-publisher\n  namespace: stagedoor\n",
        "kind: Role\nmetadata:\n  name: stagedoor-publisher\n  namespace: {{ $namespace }}\n",
    ),
    ("    verbs: [get, create, update]\n", "    verbs: [get, create, update]\n{{- end }}\n"),
];

/// Of what asks the webhook about writing.
const ADMISSION: Places = &[
    (
        "apiVersion: admissionregistration.k8s.io/v1\n",
        "{{- if .Values.admission.enabled }}\napiVersion: admissionregistration.k8s.io/v1\n",
    ),
    (
        "metadata:\n  name: stagedoor\n",
        "metadata:\n  name: stagedoor\n  {{- if .Values.tls.certManager.enabled }}\n  annotations:\n    cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include \"stagedoor.name\" . }}\n  {{- end }}\n",
    ),
    ("    failurePolicy: Fail\n", "    failurePolicy: {{ .Values.admission.failurePolicy }}\n"),
    (
        "      # The authority of the webhook's certificate, in base64.\n      caBundle: Cg==\n",
        "      {{- if not .Values.tls.certManager.enabled }}\n      caBundle: {{ required \"admission.caBundle: name the authority of the webhook's certificate, in base64\" .Values.admission.caBundle }}\n      {{- end }}\n",
    ),
    (
        "          values: [kube-system, kube-node-lease, stagedoor]\n",
        "          values: [kube-system, kube-node-lease, {{ .Release.Namespace }}]\n",
    ),
    (
        "        expression: \"!(request.resource.group in ['authentication.k8s.io', 'authorization.k8s.io'])\"\n",
        "        expression: \"!(request.resource.group in ['authentication.k8s.io', 'authorization.k8s.io'])\"\n{{- end }}\n",
    ),
];

#[test]
fn templates_are_the_manifests() -> Result<()> {
    for (manifest, places) in [
        ("stagedoor.yaml", WEBHOOK),
        ("rbac.yaml", WRITERS),
        ("validating-webhook-configuration.yaml", ADMISSION),
        ("policysets-access.yaml", SET_ACCESS),
    ] {
        let template = template(manifest, places)?;
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("policies/deploy/chart/templates")
            .join(manifest);
        if env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&path, &template)?;
        }
        let written =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(written == template, "{manifest} is out of date: set UPDATE_GENERATED=1");
    }
    Ok(())
}

/// Helm installs what is in `crds` before everything else, as it is.
#[test]
fn the_chart_has_the_schemas_of_policy_sets() -> Result<()> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/deploy/chart/crds/policysets.yaml");
    let schemas = manifest("policysets.yaml")?;
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, schemas)?;
    }
    let written = fs::read_to_string(&path)?;
    ensure!(written == schemas, "policysets.yaml is out of date: set UPDATE_GENERATED=1");
    Ok(())
}

/// The chart says of itself what the crates say.
#[test]
fn the_program_that_the_chart_runs_is_of_this_version() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/deploy/chart/Chart.yaml");
    let chart = fs::read_to_string(path)?;
    let wanted = format!("\nappVersion: {}\n", env!("CARGO_PKG_VERSION"));
    ensure!(chart.contains(&wanted), "Chart.yaml has not{wanted}");
    Ok(())
}

/// What a kustomization lists is what there is for the cluster, but for what needs a certificate.
#[test]
fn the_kustomization_has_the_manifests() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/deploy");
    let text = fs::read_to_string(directory.join("kustomization.yaml"))?;
    let listed: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  - ")).collect();
    ensure!(listed == ["stagedoor.yaml", "rbac.yaml"], "{listed:?}");
    for name in listed {
        manifest(name)?;
    }
    Ok(())
}

fn manifest(name: &str) -> Result<&'static str> {
    let mut all = DEPLOY_MANIFESTS.iter().chain(POLICY_SET_MANIFESTS);
    let found = all.find(|(other, _)| *other == name);
    Ok(found.with_context(|| format!("no manifest `{name}` ships"))?.1)
}

fn template(name: &str, places: Places) -> Result<String> {
    let mut text = manifest(name)?.to_owned();
    for (from, to) in places {
        let count = text.matches(from).count();
        ensure!(count == 1, "{name} has this {count} times, not once:\n{from}");
        text = text.replacen(from, to, 1);
    }
    // After the others, which are written as the manifests are.
    for (from, to) in NAMES {
        text = text.replace(from, to);
    }
    Ok(format!(
        "{{{{/* Made of ../../{name} by tests/chart.rs of stagedoor-kubernetes. */}}}}\n{text}"
    ))
}
