#!/usr/bin/env bash
# After a merge: sweep.sh [OPTION OF marksweep sweep...]
# Sweeps each plan that has no receipt in the repository; trust, policy and the approvals that are asked for are those of the
# base branch. A signal, or the end of the time that MARKSWEEP_TIME allows, leaves the journal saved: run it again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/outcome.sh"
. "$here/forge.sh"

out=${MARKSWEEP_OUT:-marksweep-report}
mkdir -p "$out"
finished=$out/finished
: > "$finished"
child=
signalled=
# The forge signals this shell, which hears it only between commands: so the sweep runs in the background.
trap 'signalled=yes; [ -z "$child" ] || kill -TERM "$child" 2> /dev/null || true' INT TERM

sweep() { # PLAN OUT [OPTION...]: its exit status
    local plan=$1 told=$2 status=0
    shift 2
    timeout --preserve-status --signal=TERM --kill-after=10m "${MARKSWEEP_TIME:-5h}" \
        marksweep sweep "$plan" --trust "$TRUST" --yes --json "$@" > "$told" &
    child=$!
    while :; do
        signalled=
        status=0
        wait "$child" || status=$?
        [ -n "$signalled" ] || break # otherwise a signal ended the waiting, not the sweep
    done
    child=
    return "$status"
}

worst=0
for plan in "$PLANS"/*.plan.json; do
    is_plan_name "$plan" && [ -f "$plan" ] || continue
    ! git cat-file -e "HEAD:$plan.receipt.json" 2> /dev/null || continue
    if [ -n "$(git ls-files -- "$plan.journal*" "$plan.lock*")" ]; then # a journal from a branch says what its author likes
        note error "$plan has a journal or a lock in the repository: remove that, it is not swept"
        worst=2
        continue
    fi
    status=0
    sweep "$plan" "$out/$(basename "$plan" .plan.json).sweep.json" "$@" || status=$?
    case $(outcome "$status") in
        'done')
            note notice "$plan is swept ($status)"
            echo "$plan" >> "$finished"
            ;;
        pending) note notice "$plan waits for approvals: it is not swept" ;;
        expired) note notice "$plan has expired: it is not swept" ;;
        again)
            note error "$plan is not finished ($status): run this job again, it goes on"
            worst=$status
            [ "$status" -ne 130 ] || break
            ;;
        *)
            note error "$plan ended with $status"
            worst=$status
            ;;
    esac
done
exit "$worst"
