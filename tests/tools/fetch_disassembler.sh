#!/usr/bin/env bash
# Fetches nvdisasm, which nvcc's wheels and small toolkits lack, from its PyPI wheel (5 MB) to build/tools.
# Does nothing where there is one. A newer one than the toolkit reads its machine code all the same.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if command -v nvdisasm >/dev/null || [[ -x /usr/local/cuda/bin/nvdisasm ]] || compgen -G 'build/tools/nvidia/*/bin/nvdisasm' >/dev/null; then
  exit 0
fi
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target build/tools --upgrade \
  'nvidia-cuda-nvdisasm==13.5.*'
chmod +x build/tools/nvidia/*/bin/nvdisasm
