"""Per threat of ``docs/explanation/threat-model.md``: how its mitigation is removed, and which tests fail without it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """One place of the program: *old*, which stands there exactly once, becomes *new*."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Removal:
    """One mitigation of the threat *number*, taken out by *edits*; every one of *tests* must fail without it."""

    number: int
    what: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def _plan(number: int, what: str, path: str, old: str, new: str, *tests: str) -> Removal:
    return Removal(number, what, (Edit(f"marksweep/{path}", old, new),), tuple(f"tests/{test}" for test in tests))


REMOVALS = (
    _plan(
        1, "the signature is compared with the bytes", "plan/verify.py",
        "return verify_signature(blob, PLAN_NAMESPACE, file.digests, touch_required=touch)", "return parse(blob).key",
        "unit/plan/test_verify.py::test_a_changed_plan_with_its_digest_corrected_is_refused",
    ),
    _plan(
        1, "each line has one spelling", "plan/document.py",
        "    if again != line:\n", "    if False:\n",
        "unit/plan/test_verify.py::test_a_hostile_plan_with_a_good_signature_is_malformed",
    ),
    _plan(
        1, "entries are in strictly increasing order", "plan/ledger.py",
        "        if order <= self._last:\n", "        if False:\n",
        "unit/plan/test_round_trip.py::test_entries_that_no_reader_would_take_are_not_written",
    ),
    _plan(
        2, "the digest in the signature line is derived again", "plan/verify.py",
        "    if seal.digest != file.digest:\n", "    if False:\n",
        "unit/plan/test_verify.py::test_a_changed_plan_is_refused",
    ),
    _plan(
        2, "the unsigned members of the last line are derived again", "plan/verify.py",
        "    if seal.namespace != PLAN_NAMESPACE:\n", "    if False:\n",
        "unit/plan/test_verify.py::test_every_byte_of_the_signature_line_counts",
    ),
    _plan(
        3, "trust and policy come from the ref that was named", "cli/authority.py",
        "        return _in_git(chosen, _folder(beside))\n", "        return _in_folder(_folder(beside).parent / FOLDER)\n",
        "integration/test_two_people.py::test_trust_that_is_changed_in_the_branch_does_not_count",
        "integration/test_policy.py::test_trust_that_was_changed_in_the_branch_does_not_count",
    ),
    _plan(
        3, "a sweep takes no trust from the branch that carries its plan", "cli/authority.py",
        "    if folder is not None and not chosen:\n", "    if False:\n",
        "integration/test_policy.py::test_a_sweep_without_trust_is_refused_in_a_repository_with_a_policy",
    ),
    _plan(
        3, "a link in a commit is not followed", "cli/git_tree.py",
        "            if mode not in _REGULAR:\n", "            if False:\n",
        "integration/test_policy.py::test_links_in_a_commit_are_not_followed",
    ),
    _plan(
        4, "names that share a key, and keys that share a name, are one person", "plan/quorum.py",
        "for person in [person for person in people if person[0] & every]:", "for person in list[tuple[set[str], set[str]]]():",
        "unit/plan/test_approvals.py::test_one_key_under_two_file_names_is_one",
        "unit/plan/test_approvals.py::test_two_keys_of_one_person_are_one",
    ),
    _plan(
        4, "the planner does not approve", "plan/quorum.py",
        "            if not approver_may_be_planner:\n", "            if False:\n",
        "unit/plan/test_approvals.py::test_the_planners_key_never_counts",
        "unit/plan/test_approvals.py::test_another_key_of_the_planner_does_not_count",
    ),
    _plan(
        4, "a pattern is nobody", "plan/quorum.py",
        "            if not literal:\n", "            literal = literal or set(names)\n            if not literal:\n",
        "unit/plan/test_approvals.py::test_patterns_are_nobody",
    ),
    _plan(
        5, "a signature counts in its own namespace only", "plan/sshsig.py",
        "    if signature.namespace != namespace:\n", "    namespace = signature.namespace\n    if False:\n",
        "unit/plan/test_sshsig.py::test_another_namespace_is_refused",
        "unit/plan/test_approvals.py::test_a_signature_for_another_purpose_does_not_count",
    ),
    _plan(
        5, "small RSA keys do not count", "plan/publickey.py",
        "RSA_BITS = range(2048, 16385)", "RSA_BITS = range(1024, 16385)",
        "unit/plan/test_sshsig.py::test_small_rsa_keys_do_not_count",
    ),
    _plan(
        5, "RSA with SHA-1 does not count", "plan/publickey.py",
        '"rsa-sha2-512": hashes.SHA512()}', '"rsa-sha2-512": hashes.SHA512(), "ssh-rsa": hashes.SHA1()}',
        "unit/plan/test_sshsig.py::test_rsa_signs_with_sha2_only",
    ),
    _plan(
        6, "a plan expires", "plan/verify.py",
        "    if now >= moment(header.plan.expires):\n", "    if False:\n",
        "unit/plan/test_verify.py::test_a_plan_expires_to_the_second",
        "integration/test_cli_statuses.py::test_22_an_expired_plan_can_be_looked_at_and_no_more",
    ),
    _plan(
        7, "a plan is for one catalog", "cli/sweeping.py",
        "        if was != is_:\n", "        if False:\n",
        "integration/test_cli_statuses.py::test_23_another_catalog",
    ),
    _plan(
        7, "a clone of the database is not the database", "cli/sweeping.py",
        "    if met.instance not in (planned.instance, accept_instance):\n", "    if False:\n",
        "integration/test_cli_statuses.py::test_23_a_copy_of_the_database_is_not_the_database",
    ),
    _plan(
        8, "references are asked for again in the claim", "catalog/zenml/claim.py",
        "            elif row_id in references:\n", "            elif False:\n",
        "contract/test_catalog_contract.py::test_a_version_linked_since_is_not_claimed",
    ),
    _plan(
        8, "a row that changed is not the planned one", "catalog/zenml/claim.py",
        "            elif detail := _difference(request, row):\n", '            elif detail := "":\n',
        "contract/test_catalog_contract.py::test_a_row_that_changed_is_not_claimed",
    ),
    _plan(
        8, "a new version at the same place protects it", "catalog/zenml/claim.py",
        "            elif request.id in overlaps:\n", "            elif False:\n",
        "contract/test_catalog_contract.py::test_a_protected_version_is_not_claimed",
    ),
    _plan(
        9, "a URI near the root of a store is nobody's to delete", "model/verdict.py",
        '            if key.startswith(root) and key.count("/", len(root)) < MIN_DEPTH:\n', "            if False:\n",
        "unit/model/test_verdict.py::test_where_it_lies",
    ),
    _plan(
        9, "the root of a store is no place in it", "store/keys.py",
        'return "it is the root of the artifact store" if location.segments == root.segments else None', "return None",
        "contract/test_hazards.py::test_the_store_root_as_uri",
    ),
    _plan(
        9, "keys are compared by segments", "model/uri.py",
        '"/".join((f"{self.scheme}://{self.bucket}", *self.segments, ""))',
        '"/".join((f"{self.scheme}://{self.bucket}", *self.segments))',
        "unit/model/test_uri.py::test_inside_is_by_segment_not_by_string",
    ),
    _plan(
        10, "a URI has no way out", "model/uri.py",
        '        if segment in ("", ".", ".."):\n', "        if False:\n",
        "unit/model/test_uri.py::test_a_uri_that_could_mean_two_places_is_refused",
    ),
    _plan(
        10, "a bucket holds no user, password or port", "model/uri.py",
        '    if "@" in bucket or ":" in bucket:\n', "    if False:\n",
        "unit/model/test_uri.py::test_a_uri_that_could_mean_two_places_is_refused",
    ),
    _plan(
        10, "folders are opened without following links", "store/local_folders.py",
        "FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC",
        "FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC",
        "contract/test_local_store.py::test_a_folder_swapped_for_a_link_does_not_lead_a_delete_outside",
    ),
    _plan(
        11, "one sweep of a plan at a time", "cli/sweeping.py",
        "            stack.enter_context(held(plan.path))\n", "",
        "integration/test_cli_statuses.py::test_30_another_process_holds_the_lock",
    ),
    _plan(
        11, "one sweep of a catalog at a time", "cli/sweeping.py",
        "            stack.enter_context(catalog.sole_sweeper())\n", "",
        "contract/test_mysql_lock.py::test_a_second_sweep_of_the_catalog_is_refused_and_told_who_sweeps",
    ),
    _plan(
        12, "a journal authorises nothing that is not planned", "sweep/recover.py",
        "    if begun:\n", "    if False:\n",
        "crash/test_torn_files.py::test_a_journal_with_entries_that_are_not_planned_is_refused",
    ),
    _plan(
        13, "what is read is what was hashed", "plan/blocks.py",
        "            if hashlib.sha256(block).digest() != self._digests[index * 32 : index * 32 + 32]:\n",
        "            if False:\n",
        "unit/plan/test_verify.py::test_a_plan_that_is_changed_after_it_was_verified_is_not_used",
    ),
    _plan(
        14, "a database's URL is shown without its user and password", "catalog/zenml/discover.py",
        'rest if scheme.startswith("sqlite") else rest.rpartition("@")[2]', "rest",
        "integration/test_zenml_catalog_discovery.py::test_what_is_shown_of_a_url",
    ),
    _plan(
        14, "what a store's client says is scrubbed", "store/scrub.py",
        "        for secret in _forms(secrets()):\n", "        for secret in list[str]():\n",
        "contract/test_gcs_refusals.py",
    ),
    _plan(
        15, "a line has a size", "plan/document.py",
        "MAX_ENTRY_LINE = 16 * 1024\n", "MAX_ENTRY_LINE = 16 * 1024 * 1024\n",
        "unit/plan/test_verify.py::test_lines_that_are_canonical_but_too_long_are_refused_for_that",
    ),
    _plan(
        16, "one sanitiser for all that is shown", "report/text.py",
        "    shown = text.translate(_ESCAPES)\n", "    shown = text\n",
        "unit/report/test_text.py::test_every_dangerous_character_is_escaped",
        "unit/report/test_render.py::test_hostile_text_is_harmless_everywhere",
    ),
    _plan(
        16, "no line is a command to a build server", "report/text.py",
        "    shown = _COMMAND.sub(lambda found:", "    shown = re.compile('(?!)').sub(lambda found:",
        "integration/test_hostile_names.py::test_no_line_is_a_command_to_a_build_server",
    ),
    _plan(
        17, "names mean nothing in Markdown", "report/markdown_text.py",
        "    return plain(text, width).translate(_REFERENCES)\n", "    return plain(text, width)\n",
        "unit/report/test_markdown.py::test_a_name_does_nothing",
        "unit/report/test_markdown.py::test_hostile_text_in_every_member_makes_no_element",
    ),
    _plan(
        17, "names mean nothing in HTML", "report/html/page.py", "autoescape=True", "autoescape=False",
        "browser/test_html_report.py::test_hostile_names_do_nothing",
    ),
    _plan(
        18, "totals are those of the entries", "plan/ledger.py",
        "    if said != found:\n", "    if False:\n",
        "unit/plan/test_verify.py::test_a_hostile_plan_with_a_good_signature_is_malformed",
    ),
    _plan(
        18, "the object with a card's entries is the one that was signed", "plan/spool.py",
        "    if found != expected.digest:\n", "    if False:\n",
        "unit/plan/test_card.py::test_an_object_that_is_not_the_signed_one_is_refused",
    ),
    _plan(
        19, "a key signs in its own role only", "plan/allowed_signers.py",
        "        if self.namespaces is not None and not matches(namespace, self.namespaces):\n", "        if False:\n",
        "unit/plan/test_verify.py::test_a_reviewers_key_is_no_planners",
        "unit/plan/test_approvals.py::test_lines_that_do_not_apply_do_not_count",
    ),
    _plan(
        19, "a key has its time", "plan/allowed_signers.py",
        "        if self.valid_before is not None and seconds > self.valid_before:\n", "        if False:\n",
        "unit/plan/test_verify.py::test_trust_is_as_of_now",
    ),
    _plan(
        19, "what a policy allows is all that a plan may hold", "plan/rules_checks.py",
        "        if self._roots is not None and not key.startswith(self._roots):\n", "        if False:\n",
        "integration/test_policy.py::test_each_rule_refuses_a_sweep",
    ),
    _plan(
        19, "a policy has caps", "plan/rules_checks.py",
        "        if self.max_entries is not None and totals.entries > self.max_entries:\n", "        if False:\n",
        "integration/test_policy.py::test_each_rule_refuses_a_sweep",
    ),
    _plan(
        19, "what a plan tells of its versions is held against the catalog", "cli/comparing.py",
        "    check_told(plan, catalog)\n", "",
        "integration/test_lying_planner.py::test_an_entry_under_another_name_is_not_swept",
        "integration/test_lying_planner.py::test_an_id_has_one_spelling",
        "integration/test_lying_planner.py::test_a_plan_that_breaks_its_own_policy_is_not_swept",
        "integration/test_lying_planner.py::test_max_share_is_of_the_catalog_and_not_of_what_the_plan_says",
        "integration/test_lying_planner.py::test_registered_data_is_not_swept_unless_the_plan_says_so",
        "integration/test_lying_planner.py::test_numbers_without_a_fingerprint_bind_nothing",
        "integration/test_lying_planner.py::test_a_store_is_named_once",
    ),
    _plan(
        19, "nothing older has the place of an entry", "cli/comparing.py",
        "        check_neighbours(plan, catalog, stores)\n", "        pass\n",
        "integration/test_lying_planner.py::test_a_plan_of_what_something_older_shares_is_not_swept",
    ),
    _plan(
        19, "objects and bytes are counted again", "sweep/prepare.py",
        "    elif not _as_planned(unit.entries[0], found):\n", "    elif False:\n",
        "integration/test_lying_planner.py::test_objects_and_bytes_are_counted_again",
    ),
    _plan(
        19, "an undo that is promised is there", "sweep/places.py",
        "            if undo is Undo.NONE and told in (Undo.VERSIONED, Undo.SOFT_DELETE):\n", "            if False:\n",
        "integration/test_lying_planner.py::test_an_undo_that_there_is_not_is_no_undo",
    ),
    _plan(
        19, "the question names what the entries add up to", "report/confirm.py",
        "for branch in whole.branches[:3]", "for branch in whole.branches[:0]",
        "integration/test_lying_planner.py::test_what_is_approved_is_what_the_entries_add_up_to",
    ),
    _plan(
        20, "a key that the answer does not mention has failed", "store/s3_delete.py",
        "        outcomes[found.key, found.version] = _failure(found, code, message)\n", "        pass\n",
        "contract/test_s3_answers.py",
    ),
)  # fmt: skip
"""In the order of the table."""
