# Sourced by scripts/demo: what it trains, how it shows commands, and how it cleans up after itself.

# A folder of its own: a network, keys and models that have nothing to do with the user's profile.
DEMO_DIR=$ATTUNE_CACHE/demo
DEMO_BASE=$ATTUNE_ROOT/models/attune-base
DEMO_TRAIN=$ATTUNE_ROOT/examples/wordnet-categories/train.jsonl
DEMO_HELD_OUT=$ATTUNE_ROOT/examples/wordnet-categories/held_out.jsonl
DEMO_QUESTION="aviator: someone who operates an aircraft. What is it?"
# Tokens of a packed row. Rows of the data set have 15 to 60.
DEMO_LENGTH=128
# Three workers share the machine, and two of them re-execute while the third trains.
DEMO_THREADS=1
DEMO_TRAINING=(--rank 16 --alpha 32 --learning-rate 3e-3 --batch 8 --epochs 3 --milestones 2 --segments 3 --samples 1
    --auditors 2 --seed 1)

# Shows a command as a user would type it, then runs it in the demo's profile.
attune() {
    local line='$ attune' argument
    for argument in "$@"; do
        case $argument in
            *[!A-Za-z0-9_./:=,@%+-]* | '') line+=" \"$argument\"" ;;
            *) line+=" $argument" ;;
        esac
    done
    printf '\n\033[1m%s\033[0m\n' "$line" >&2
    quietly "$@"
}

# Runs a command in the demo's profile without showing it: what the script itself wants to know.
quietly() {
    # Not with the lock: the network would hold it for as long as it runs.
    ATTUNE_HOME=$DEMO_DIR "$ATTUNE_BIN/attune" "$@" 9>&-
}

# Stops the network of an earlier run, also of one that was killed, clears what it left, and sees to it that this run's
# network is stopped should it fail.
demo_begin() {
    [ -f "$DEMO_BASE/config.json" ] || die "expected the base model in $DEMO_BASE, found none: is the clone complete?"
    mkdir -p "$ATTUNE_CACHE"
    exec 9>"$ATTUNE_CACHE/demo.lock"
    flock --nonblock 9 || die "another demo is running in $DEMO_DIR: wait for it, or end it"
    if [ -d "$DEMO_DIR/net" ]; then
        step "Stopping and clearing the network of the last demo"
        quietly --quiet net down --delete >&2
    fi
    rm -rf "$DEMO_DIR"
    mkdir -p "$DEMO_DIR"
    DEMO_STARTED=$(date +%s)
    trap 'demo_end $?' EXIT
    # An interruption ends the script through its EXIT trap.
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

demo_end() {
    trap - EXIT
    trap '' INT TERM HUP
    step "Stopping the network"
    attune net down >&2 || say "could not stop it; try ATTUNE_HOME=$DEMO_DIR $ATTUNE_BIN/attune net down"
    exit "$1"
}

# demo_finish JOB STOP: the network is left for looking around, unless STOP is true.
demo_finish() {
    local job=$1 stop=$2 set_up
    set_up=$(printf 'export ATTUNE_HOME=%q PATH=%q:$PATH' "$DEMO_DIR" "$ATTUNE_BIN")
    if $stop; then
        printf '\nThe network again, at the same addresses and with this record:\n  %s\n  attune net up\n' "$set_up"
        return
    fi
    trap - EXIT INT TERM HUP
    cat <<EOT

The network is still running. Look around:
  $set_up
  attune net status
  attune jobs list
  attune providers list
  attune records show $job
  attune chat --base $(printf %q "$DEMO_BASE") --adapter $(printf %q "$DEMO_DIR/adapter")
Stop it (--delete: and delete its chain and files):
  attune net down
EOT
}

# register_provider NUMBER NAME PRICE_PER_HOUR COMMISSION
register_provider() {
    local worker
    worker=$(quietly --output json net status | python3 -c '
import json, sys
print(next(s["url"] for s in json.load(sys.stdin)["services"] if s["name"] == "worker-" + sys.argv[1]))' "$1")
    attune providers register --worker "$worker" --name "$2" --price-per-hour "$3" --commission "$4" \
        --self-bond 1000 --dev-key "//Provider$1"
}

# The number of the job that was ordered last.
newest_job() {
    quietly --output json jobs list --of //Customer | python3 -c '
import json, sys
print(max(job["id"] for job in json.load(sys.stdin)))'
}

# note_balances before|after
note_balances() {
    local who
    for who in Customer Provider1 Provider2 Provider3; do
        quietly --output json balance "//$who" >"$DEMO_DIR/balance-$who-$1.json"
    done
}

# demo_summary JOB FILE: shows the outcome; writes it to FILE too, if one is named.
demo_summary() {
    local job=$1 file=$2
    quietly --output json records show "$job" >"$DEMO_DIR/record.json"
    quietly --output json jobs show "$job" >"$DEMO_DIR/job.json"
    quietly --output json net status >"$DEMO_DIR/net.json"
    python3 "$ATTUNE_ROOT/scripts/lib/demo_summary.py" --folder "$DEMO_DIR" --base "$DEMO_BASE" \
        --held-out "$DEMO_HELD_OUT" --seconds $(($(date +%s) - DEMO_STARTED)) ${file:+--summary "$file"}
}
