#!/usr/bin/env bash
# receipt.sh: put the receipts of finished sweeps on a branch of their own, with a request to merge it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/forge.sh"

receipts=()
while IFS= read -r plan; do # only of sweeps that left nothing to do: a receipt in the repository says "finished"
    if is_plan_name "$plan" && [ -f "$plan.receipt.json" ]; then receipts+=("$plan.receipt.json"); fi
done < "${MARKSWEEP_OUT:-marksweep-report}/finished"
if [ "${#receipts[@]}" -eq 0 ]; then
    note notice 'there is no new receipt'
    exit 0
fi
branch=marksweep/receipt-${GITHUB_RUN_ID:-${CI_PIPELINE_ID:-0}}-${GITHUB_RUN_ATTEMPT:-1}
text=$(mktemp)
echo 'What the sweep did, signed by the key that swept. Merge it: the next sweep passes over these plans.' > "$text"
push_branch "$branch" 'Receipts of a sweep' "${receipts[@]}"
open_request "$branch" 'marksweep: receipts of a sweep' "$text"
