# shellcheck shell=bash
# What marksweep's exit statuses mean to a pipeline; sourced by the other scripts. All of them: docs/reference/exit-statuses.md

# outcome STATUS prints one word:
#   done     nothing is left to do; some entries may have been kept (11)
#   review   there is a plan for people to look at (mark --detailed-exitcode)
#   again    not finished, killed (137, 143), or some deletes failed: the same job, run again, goes on
#   pending  approvals are missing: nobody did anything wrong
#   expired  too late for this plan: the next mark makes a new one
#   busy     another sweep holds the lock
#   refused  anything else
outcome() {
    case $1 in
        0 | 11) echo 'done' ;;
        10) echo review ;;
        3 | 12 | 130 | 137 | 143) echo again ;;
        21) echo pending ;;
        22) echo expired ;;
        30) echo busy ;;
        *) echo refused ;;
    esac
}
