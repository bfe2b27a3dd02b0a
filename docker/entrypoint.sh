#!/usr/bin/env bash
# Any command in the container finds ROS 2 and Jack's packages, as in a shell where the workspace was sourced.
set -euo pipefail
# shellcheck source=/dev/null
. /home/ubuntu/jack/.jack/env.sh
exec "$@"
