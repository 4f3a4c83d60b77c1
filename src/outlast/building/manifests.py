"""Manifests for Kubernetes: one server and its disk.

A store has one owner, so there is one replica, of a StatefulSet: it does not start a second pod
before the first one is gone.
"""

from __future__ import annotations

from outlast import limits
from outlast.building.image import APP, USER, VOLUME

_STOP_SECONDS = int(limits.DRAIN_GRACE_SECONDS) + 15

_MANIFESTS = """\
# Made by `outlast build --k8s`. Change what is marked with CHANGE, then: kubectl apply -f FILE
---
apiVersion: v1
kind: Secret
metadata:
  name: "{name}-token"
  labels:
    app.kubernetes.io/name: "{name}"
type: Opaque
stringData:
  # CHANGE: `openssl rand -hex 32`. The server refuses to start with this one.
  OUTLAST_TOKEN: ""
---
apiVersion: v1
kind: Service
metadata:
  name: "{name}"
  labels:
    app.kubernetes.io/name: "{name}"
spec:
  selector:
    app.kubernetes.io/name: "{name}"
  ports:
    - name: http
      port: {port}
      targetPort: http
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: "{name}"
  labels:
    app.kubernetes.io/name: "{name}"
spec:
  serviceName: "{name}"
  # SQLite has one owner: two replicas would be two stores.
  replicas: 1
  selector:
    matchLabels:
      app.kubernetes.io/name: "{name}"
  template:
    metadata:
      labels:
        app.kubernetes.io/name: "{name}"
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: {stop}
      securityContext:
        runAsNonRoot: true
        runAsUser: {user}
        runAsGroup: {user}
        fsGroup: {user}
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: "{name}"
          # CHANGE: where the image was pushed to.
          image: "{name}:{tag}"
          # --allow-host: by which names it may be called. CHANGE: add those of your ingress.
          args:
            - "--host=0.0.0.0"
            - "--port={port}"
            - "--behind-proxy"
            - "--allow-host={name}"
          env:
            - name: OUTLAST_TOKEN
              valueFrom:
                secretKeyRef:
                  name: "{name}-token"
                  key: OUTLAST_TOKEN
          ports:
            - name: http
              containerPort: {port}
          # It listens once its store is open. A probe calls the pod by its address, which is none
          # of the names that the server goes by: so it says another Host.
          startupProbe:
            httpGet: {healthz}
            periodSeconds: 1
            failureThreshold: 300
          livenessProbe:
            httpGet: {healthz}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          # /readyz needs the token, which a probe over HTTP cannot take from a Secret.
          readinessProbe:
            exec:
              command: ["{app}/{name}", "ready", "--port={port}"]
            periodSeconds: 15
            timeoutSeconds: 10
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: ["ALL"]
          resources:
            requests:
              cpu: 100m
              memory: 128Mi
            limits:
              memory: 1Gi
          volumeMounts:
            - name: data
              mountPath: {volume}
            - name: tmp
              mountPath: /tmp
      volumes:
        - name: tmp
          emptyDir: {{}}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels:
          app.kubernetes.io/name: "{name}"
      spec:
        # A block device. A network file system such as NFS is refused: its locks do not hold.
        accessModes: ["ReadWriteOnce"]
        resources:
          requests:
            storage: 10Gi
"""
_HEALTHZ = (
    '{{ path: /healthz, port: http, httpHeaders: [{{ name: Host, value: "localhost:{port}" }}] }}'
)


def manifests_of(name: str, tag: str, port: int) -> str:
    """Return the manifests as YAML."""
    return _MANIFESTS.format(
        name=name,
        tag=tag,
        port=port,
        user=USER,
        volume=VOLUME,
        app=APP,
        stop=_STOP_SECONDS,
        healthz=_HEALTHZ.format(port=port),
    )
