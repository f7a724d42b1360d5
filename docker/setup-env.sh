#!/usr/bin/env bash
# Writes what `docker compose up` needs: .env with fresh secrets and a first key, and the key as a file for Prometheus.
#
#   docker/setup-env.sh [FOLDER]                             the folder of docker-compose.yml, unless another is named
#   COMPOSE_PROFILES=gpu,prometheus,s3 docker/setup-env.sh   other profiles than cpu
#
# Fills in the variables of .env.example that are empty and named in SECRETS below. Never touches an .env that is there.
set -euo pipefail

folder=${1:-$(dirname "$0")/..}
example=$(dirname "$0")/../.env.example
SECRETS="TUNERY_FIRST_API_KEY POSTGRES_PASSWORD REDIS_PASSWORD AWS_SECRET_ACCESS_KEY"
profiles=${COMPOSE_PROFILES:-}

if [ -e "$folder/.env" ]; then
    printf 'setup-env: %s is there already, and stays as it is\n' "$folder/.env" >&2
    exit 1
fi
umask 077

# 48 hexadecimal digits: fit for a URL, which two of them become part of.
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

mkdir -p "$folder/.secrets"
while IFS= read -r line || [ -n "$line" ]; do
    name=${line%%=*}
    case " $SECRETS " in
        *" $name "*) [ "$line" = "$name=" ] && line="$name=$(secret)" ;;
    esac
    case ",$profiles,$line" in
        ,,*) ;;
        *,COMPOSE_PROFILES=*) line="COMPOSE_PROFILES=$profiles" ;;
        *,s3,*TUNERY_ARTEFACTS_URL=) line="TUNERY_ARTEFACTS_URL=s3://tunery" ;;
        *,s3,*AWS_ENDPOINT_URL=) line="AWS_ENDPOINT_URL=http://s3:8333" ;;
    esac
    [ "$name" = TUNERY_FIRST_API_KEY ] && printf '%s' "${line#*=}" >"$folder/.secrets/api_key"
    printf '%s\n' "$line"
done <"$example" >"$folder/.env.new"
# Prometheus reads it as another user; the folder around it lets nobody else in on this machine.
chmod 644 "$folder/.secrets/api_key"
mv "$folder/.env.new" "$folder/.env"
printf 'setup-env: wrote %s; the first key is in it: TUNERY_FIRST_API_KEY\n' "$folder/.env"
