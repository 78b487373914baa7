#!/usr/bin/env bash
# Certificates for mTLS where no cert-manager runs: one authority, and a Secret <release>-<service>-tls for each service.
#
#   k8s/examples/certificates.sh NAMESPACE RELEASE FOLDER
#   helm upgrade RELEASE charts/pismo … --set tls.existingSecrets.gateway=RELEASE-gateway-tls …
#
# FOLDER keeps the authority and all certificates; whoever reads it can be any service. Run again to renew: the Secrets are
# replaced, servers read them anew by themselves, clients at their next start. Needs openssl and kubectl.
# Tried: `make cluster-test`.
set -euo pipefail
namespace=${1:?namespace} release=${2:?release} folder=${3:?folder}
umask 077
mkdir -p "$folder"
cd "$folder"

[ -f ca.key ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$release services" \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.crt

for service in gateway generation billing analytics; do
  host=$release-$service.$namespace
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$service" -keyout "$service.key" -out "$service.csr"
  openssl x509 -req -in "$service.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -out "$service.crt" -extfile <(
    echo "subjectAltName=DNS:$host.svc,DNS:$host.svc.cluster.local,DNS:$service"
    echo "extendedKeyUsage=serverAuth,clientAuth"
  )
  kubectl --namespace "$namespace" create secret generic "$release-$service-tls" --dry-run=client --output yaml \
    --from-file=tls.crt="$service.crt" --from-file=tls.key="$service.key" --from-file=ca.crt=ca.crt |
    kubectl --namespace "$namespace" apply --server-side --force-conflicts --filename -
done
