#!/usr/bin/env bash
# The scheduled mark: mark.sh [OPTION OF marksweep mark...]
# A plan with entries goes to a branch of its own, with a request to look at it; without entries it ends with 0 and a word.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/outcome.sh"
. "$here/forge.sh"

day=$(date -u +%Y-%m-%d)
plan=$PLANS/$day.plan.json
branch=marksweep/$day
if [ -e "$plan" ] || git ls-remote --exit-code --heads origin "refs/heads/$branch" > /dev/null; then
    note notice "there is a plan of $day already"
    exit 0
fi

mkdir -p "$PLANS"
status=0
marksweep mark --out "$plan" --detailed-exitcode --quiet "$@" || status=$?
case $(outcome "$status") in
    review) ;;
    'done')
        note notice 'nothing to review: no version is an orphan'
        exit 0
        ;;
    *)
        note error "marksweep mark ended with $status"
        exit "$status"
        ;;
esac

text=$(mktemp)
cat > "$text" << TEXT
A plan of $day: what a sweep would delete, and why, stands in the comment below. Nothing is deleted before this is merged.

To approve it with your own key:

    git fetch origin && git switch $branch
    marksweep show $plan --trust $TRUST
    marksweep approve $plan
    git add $plan.approvals && git commit -m "Approve $plan" && git push
TEXT
push_branch "$branch" "Plan of $day" "$plan"
open_request "$branch" "marksweep: plan of $day" "$text"
