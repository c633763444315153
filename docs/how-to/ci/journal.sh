#!/usr/bin/env bash
# journal.sh restore: put the journals of the last run of this workflow back beside their plans, on GitHub.
# They come from the newest artifact of that name that a run on the base branch of this repository left (an artifact of a
# pull request has the same name as easily). GitLab keeps them in its cache instead.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/forge.sh"

artifact=${MARKSWEEP_ARTIFACT:-marksweep-journal}
query="[.artifacts[] | select((.expired | not) and .workflow_run.head_branch == \"$BASE\"
        and .workflow_run.head_repository_id == .workflow_run.repository_id)]
        | sort_by(.created_at) | last | .id // empty"
id=$(gh api "repos/$GITHUB_REPOSITORY/actions/artifacts?name=$artifact&per_page=100" --jq "$query")
if [ -z "$id" ]; then
    note notice 'no earlier run left a journal'
    exit 0
fi
folder=$(mktemp -d)
gh api "repos/$GITHUB_REPOSITORY/actions/artifacts/$id/zip" > "$folder/journal.zip"
python3 -I -m zipfile --extract "$folder/journal.zip" "$folder/journal"
for file in "$folder"/journal/"$PLANS"/*.plan.json.journal*; do
    [ -f "$file" ] || continue
    name=$(basename "$file")
    plan=$PLANS/${name%%.journal*}
    if is_plan_name "$plan" && [ -f "$plan" ] && [ ! -e "$PLANS/$name" ]; then cp "$file" "$PLANS/$name"; fi
done
