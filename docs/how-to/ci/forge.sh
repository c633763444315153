# shellcheck shell=bash
# What GitHub and GitLab do each in their own way; sourced by the other scripts.

PLANS=${MARKSWEEP_PLANS:-plans}
BASE=${MARKSWEEP_BASE:-main}
# Trust and policy are those of the protected branch, whatever the branch that carries the plan says.
# shellcheck disable=SC2034  # the scripts that source this one use it
TRUST=${MARKSWEEP_TRUST:-git:origin/$BASE}

on_github() { [ "${GITHUB_ACTIONS:-}" = true ]; }

# note LEVEL TEXT: a line of the log that the forge shows (LEVEL: notice, warning or error).
note() {
    if on_github; then echo "::$1::$2"; else echo "$1: $2"; fi
}

# A plan's name goes into commands and messages: only plain ones are looked at.
# One with .plan.json in the middle could be taken for something that lies beside another plan.
is_plan_name() { [[ $1 =~ ^$PLANS/[A-Za-z0-9][A-Za-z0-9._-]*\.plan\.json$ && ${1%.plan.json} != *.plan.json* ]]; }

# push_branch BRANCH MESSAGE FILE...: commit FILEs on a branch of their own, and push it.
push_branch() {
    local branch=$1 message=$2
    shift 2
    git switch --quiet --create "$branch"
    git add --force -- "$@"
    git -c user.name=marksweep -c user.email=marksweep@users.noreply.invalid commit --quiet --message "$message"
    if on_github; then
        git push --quiet origin "HEAD:refs/heads/$branch"
    else # GitLab opens the merge request when it takes the push
        git push --quiet -o merge_request.create -o "merge_request.target=$BASE" -o "merge_request.title=$message" \
            origin "HEAD:refs/heads/$branch"
    fi
}

# open_request BRANCH TITLE TEXT_FILE: ask people to look at a pushed branch.
open_request() {
    if on_github; then gh pr create --base "$BASE" --head "$1" --title "$2" --body-file "$3"; fi
}

# comment FILE: post FILE, or put it in place of the comment that begins with the same first line.
comment() {
    local marker id me
    marker=$(head -n 1 "$1")
    [[ $marker =~ ^'<!-- marksweep:'[0-9A-Za-z]+' -->'$ ]] || { note error "$1 has no marker"; return 1; }
    if on_github; then
        local comments="repos/$GITHUB_REPOSITORY/issues/$PR_NUMBER/comments"
        # Only one of our own: whoever wrote a comment can edit it again.
        local mine=".[] | select(.user.login == \"${MARKSWEEP_BOT:-github-actions[bot]}\" and (.body | startswith(\"$marker\"))) | .id"
        id=$(gh api --paginate "$comments" --jq "$mine" | head -n 1)
        if [ -n "$id" ]; then
            gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$1"
        else
            gh api --silent --method POST "$comments" --field "body=@$1"
        fi
    elif [ -n "${MARKSWEEP_GITLAB_TOKEN:-}" ]; then
        local notes="$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes"
        me=$(gitlab GET "$CI_API_V4_URL/user" | jq .id)
        local mine=".[] | select(.author.id == $me and (.body | startswith(\"$marker\"))) | .id"
        id=$(gitlab GET "$notes?per_page=100" | jq "$mine" | head -n 1)
        if [ -n "$id" ]; then
            gitlab PUT "$notes/$id" --data-urlencode "body@$1" > /dev/null
        else
            gitlab POST "$notes" --data-urlencode "body@$1" > /dev/null
        fi
    fi
}

# gitlab METHOD URL [CURL OPTION...]: one request; the token goes over standard input, so that no process list shows it.
gitlab() {
    printf 'header = "PRIVATE-TOKEN: %s"\n' "$MARKSWEEP_GITLAB_TOKEN" | curl --config - --fail --silent --show-error --request "$@"
}

# commit_state STATE TEXT: what a pull request shows beside the commit (STATE: pending, success or failure).
commit_state() {
    if on_github; then
        gh api --silent --method POST "repos/$GITHUB_REPOSITORY/statuses/$HEAD_SHA" --raw-field "state=$1" \
            --raw-field context=marksweep/approvals --raw-field "description=$2" \
            || note warning 'the commit status could not be set' # the token of a fork's pull request only reads
    fi
}
