#!/bin/sh
# Issues a certificate for mutual TLS: certificates.sh NAME ADDRESS... (IP addresses or host names of the machine).
# Writes NAME.pem and NAME-tls.key here. The authority, ca.pem and ca.key, is made the first time: keep ca.key offline,
# and never copy it to a node.
set -eu
umask 077
days=${DAYS:-365}
[ $# -ge 2 ] || { echo "usage: $0 NAME ADDRESS..." >&2; exit 2; }
name=$1
shift
names=
for address in "$@"; do
    case $address in
        *:* | *[0-9].[0-9]*.[0-9]*.[0-9]*) kind=IP ;;
        *) kind=DNS ;;
    esac
    names=${names:+$names,}$kind:$address
done
if [ ! -e ca.key ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/CN=chorus authority" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.pem
fi
openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$name-tls.key"
openssl req -new -key "$name-tls.key" -subj "/CN=$name" |
    openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days "$days" -extfile /dev/fd/3 \
        -out "$name.pem" 3<<END
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
subjectAltName=$names
END
chmod 644 ca.pem "$name.pem"
