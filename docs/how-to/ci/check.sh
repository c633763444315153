#!/usr/bin/env bash
# The check of a pull request: each plan that it adds or changes is verified, shown in a comment and written as HTML.
# Ends with 0 for an approved plan; missing approvals are "pending" (0 on GitHub, 21 on GitLab, which shows that as a warning).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/outcome.sh"
. "$here/forge.sh"

out=${MARKSWEEP_OUT:-marksweep-report}
mkdir -p "$out"
mapfile -d '' -t changed < <(git diff -z --no-renames --name-only "origin/$BASE...HEAD" -- "$PLANS")
declare -A plans=() ids=()
strays=0
for path in "${changed[@]}"; do # a plan, or an approval beside it
    case $path in
        *.plan.json) plan=$path ;;
        *.plan.json.approvals/*) plan=${path%.plan.json.approvals/*}.plan.json ;;
        # What a sweep writes. A journal that comes on a branch would have it pass over entries, and say that they are gone.
        *.plan.json.journal* | *.plan.json.lock*) if [ -e "$path" ] || [ -L "$path" ]; then strays=1; fi; continue ;;
        *) continue ;;
    esac
    [ ! -f "$plan" ] || plans[$plan]=
done

worst=0
waiting=0
if [ "$strays" -ne 0 ]; then
    note error 'a journal or a lock of a sweep lies among the plans: it does not belong into the repository'
    worst=2
fi
for plan in "${!plans[@]}"; do
    if ! is_plan_name "$plan"; then
        note error "a plan's name is made of letters, digits, dots, dashes and underscores"
        worst=2
        continue
    fi
    name=$(basename "$plan" .plan.json)
    status=0
    marksweep verify "$plan" --trust "$TRUST" || status=$?
    case $(outcome "$status") in
        'done') note notice "$plan is approved" ;;
        pending)
            note notice "$plan waits for approvals"
            waiting=1
            ;;
        *)
            note error "$plan is refused ($status)"
            worst=$status
            ;;
    esac
    # One that is not signed by somebody trusted is not shown: its words are nobody's. Nobody approves what was not shown.
    if ! marksweep show "$plan" --trust "$TRUST" --format markdown --max-chars 65000 --out "$out/$name.md"; then
        note error "$plan cannot be shown"
        [ "$worst" -ne 0 ] || worst=1
        continue
    fi
    marker=$(head -n 1 "$out/$name.md")
    if [ -n "${ids[$marker]:-}" ]; then # one comment would take the other's place
        note error "$plan has the id of another plan here"
        worst=2
    fi
    ids[$marker]=$plan
    marksweep show "$plan" --trust "$TRUST" --format html --out "$out/$name.html"
    comment "$out/$name.md" || note warning 'the comment could not be written'
done

if [ "$worst" -ne 0 ]; then
    commit_state failure 'a plan is refused: see the log'
elif [ "$waiting" -ne 0 ]; then
    commit_state pending 'waiting for approvals'
    on_github || worst=21
else
    commit_state success 'every plan here is approved'
fi
exit "$worst"
