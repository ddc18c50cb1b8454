# shellcheck shell=bash
# Sourced after release.sh by ValidateService: the address at which the model is reached, an Elastic IP that moves to this
# host once its release answers here. It stays where it was until then, so nobody meets a host that is still starting.

# Where the host's start script wrote down which address it is; empty or absent where there is none.
ADDRESS_FILE=${ESTEIRA_ADDRESS:-/etc/esteira/address}
METADATA=${ESTEIRA_METADATA:-http://169.254.169.254}

metadata() { curl -sSf -m 5 -H "X-aws-ec2-metadata-token: $1" "$METADATA/latest/meta-data/$2"; }

take_address() {
    local allocation token instance region words
    allocation=$(cat "$ADDRESS_FILE" 2>/dev/null) || return 0
    [[ -n $allocation ]] || return 0
    token=$(curl -sSf -m 5 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "$METADATA/latest/api/token") || token=
    instance=$(metadata "$token" instance-id) || instance=
    region=$(metadata "$token" placement/region) || region=
    [[ -n $instance && -n $region ]] || fail "the metadata service did not say which host this is" "esteira retry"
    # One that this host has already is left as it is, and answered alike.
    words=$(aws ec2 associate-address --region "$region" --allocation-id "$allocation" --instance-id "$instance" \
        --allow-reassociation 2>&1) ||
        fail "the address $allocation did not move to $instance: ${words##*$'\n'}" \
            "see that the host's role may do it (ec2:AssociateAddress), then: esteira retry"
    say "$allocation is at $instance"
}
