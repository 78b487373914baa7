# For `skaffold dev`: runs a service from sources that can be changed, and starts it again on SIGHUP.
cp -rp /app/libs /app/services /tmp
export PYTHONPATH=$(printf '%s:' /tmp/*/*/src)
stop() { kill "$child"; wait "$child"; }
trap 'stop; exit' TERM
trap stop HUP
while :; do
  python -m "$SERVICE" serve &
  child=$!
  wait "$child"
done
