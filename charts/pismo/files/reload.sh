# For `skaffold dev`: runs a service from sources that can be changed, and on SIGHUP starts it again if they were.
cp -rp /app/libs /app/services /tmp
sources=$(echo /tmp/libs/*/src /tmp/services/*/src)
export PYTHONPATH=$(echo "$sources" | tr ' ' ':')
stop() { kill "$child"; wait "$child"; }
trap 'stop; exit' TERM
trap '[ -z "$(find $sources -newer /tmp/started)" ] || stop' HUP
while :; do
  touch /tmp/started
  python -m "$SERVICE" serve &
  child=$!
  # A signal ends the wait, and the service may run on.
  while kill -0 "$child" 2>/dev/null; do wait "$child"; done
done
