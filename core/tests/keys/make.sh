#!/bin/sh
# Makes the throw-away keys of this folder anew, with OpenSSL 3. They were made for tests alone and
# open nothing. *.pub.pem are the public halves that the tests verify signatures with.
set -eu
cd "$(dirname "$0")"

# RSA: PKCS#8 and PKCS#1 of one key, and sizes at and beyond the limits.
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa-2048.pkcs8.pem
openssl rsa -traditional -in rsa-2048.pkcs8.pem -out rsa-2048.pkcs1.pem
openssl rsa -in rsa-2048.pkcs8.pem -pubout -out rsa-2048.pub.pem
openssl rsa -in rsa-2048.pkcs8.pem -RSAPublicKey_out -out rsa-2048.pkcs1.pub.pem
for bits in 1024 2056 8192; do
    openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:$bits" -out "rsa-$bits.pem"
done
# Forms that ring does not support.
openssl genrsa -3 -out rsa-exponent-3.pem 2048
openssl genrsa -primes 3 -out rsa-three-primes.pem 3072
openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out rsa-pss.pem

# P-256: PKCS#8 and SEC1 of one key, with and without the parameters block before it.
openssl ecparam -genkey -name prime256v1 -out p256.sec1-params.pem
openssl ec -in p256.sec1-params.pem -out p256.sec1.pem
openssl pkcs8 -topk8 -nocrypt -in p256.sec1.pem -out p256.pkcs8.pem
openssl ec -in p256.sec1.pem -pubout -out p256.pub.pem
openssl ec -in p256.sec1.pem -conv_form hybrid -out p256.hybrid.pem
openssl ec -in p256.sec1.pem -param_enc explicit -out p256.explicit.pem
# Numbers as some tools write them: without the zeros at the front, or with one more.
until openssl ecparam -genkey -noout -name prime256v1 -out p256.zero.pem &&
    scalar=$(openssl ec -in p256.zero.pem -outform DER 2>/dev/null | od -An -v -tx1 -j7 -N32 | tr -d ' \n') &&
    [ "${scalar#00}" != "$scalar" ]; do :; done
point=$(openssl ec -in p256.zero.pem -outform DER 2>/dev/null | tail -c 65 | od -An -v -tx1 | tr -d ' \n')
sec1() {
    printf '%s\n' 'asn1=SEQUENCE:key' '[key]' 'version=INTEGER:1' "scalar=FORMAT:HEX,OCTETSTRING:$1" \
        'curve=EXPLICIT:0,OID:prime256v1' "point=EXPLICIT:1,FORMAT:HEX,BITSTRING:$point"
}
pem() {
    openssl asn1parse -noout -genconf "$1" -out key.der
    printf '%s\n' "-----BEGIN $2-----" "$(openssl base64 -in key.der)" "-----END $2-----"
    rm key.der "$1"
}
sec1 "${scalar#00}" >conf && pem conf 'EC PRIVATE KEY' >p256.short.sec1.pem
sec1 "00$scalar" >conf && pem conf 'EC PRIVATE KEY' >p256.long.sec1.pem
{
    printf '%s\n' 'asn1=SEQUENCE:info' '[info]' 'version=INTEGER:0' 'algorithm=SEQUENCE:algorithm' \
        'key=OCTWRAP,SEQUENCE:key' '[algorithm]' 'kind=OID:id-ecPublicKey' 'curve=OID:prime256v1'
    sec1 "${scalar#00}" | tail -n +2
} >conf && pem conf 'PRIVATE KEY' >p256.short.pkcs8.pem
openssl ec -in p256.zero.pem -pubout -out p256.zero.pub.pem
rm p256.zero.pem
# What no reader could use without arithmetic on the curve.
openssl ec -in p256.sec1.pem -no_public -out p256.no-public.pem
openssl ec -in p256.sec1.pem -conv_form compressed -out p256.compressed.pem
for curve in secp384r1 secp521r1 secp256k1 brainpoolP256r1; do
    openssl ecparam -genkey -noout -name "$curve" -out "$curve.pem"
done
openssl ec -in secp384r1.pem -param_enc explicit -out secp384r1.explicit.pem
openssl pkcs8 -topk8 -nocrypt -in secp384r1.pem -out secp384r1.pkcs8.pem

# Other kinds, and files that are no private key at all.
openssl genpkey -algorithm ED25519 -out ed25519.pem
openssl genpkey -algorithm X25519 -out x25519.pem
openssl dsaparam -noout -genkey 2048 | openssl dsa -out dsa.traditional.pem
openssl pkcs8 -topk8 -nocrypt -in dsa.traditional.pem -out dsa.pkcs8.pem
openssl rsa -in rsa-2048.pkcs8.pem -outform DER -out rsa-2048.der
openssl pkcs12 -export -nocerts -inkey p256.sec1.pem -passout pass:test -out p256.p12
openssl req -x509 -key rsa-2048.pkcs8.pem -subj /CN=throw-away -days 36500 -out certificate.pem
openssl req -x509 -key p256.short.sec1.pem -subj /CN=throw-away -days 36500 -out p256.zero.certificate.pem
for key in rsa-1024 secp521r1 secp256k1 secp384r1 ed25519; do
    openssl req -x509 -key "$key.pem" -subj "/CN=$key" -days 36500
done >roots.pem
openssl req -new -key p256.sec1.pem -subj /CN=throw-away -out request.pem
ssh-keygen -q -t rsa -b 2048 -N '' -C '' -f openssh.pem && rm openssh.pem.pub
openssl pkcs8 -topk8 -in rsa-2048.pkcs8.pem -passout pass:test -out rsa-2048.encrypted-pkcs8.pem
openssl rsa -traditional -aes128 -in rsa-2048.pkcs8.pem -passout pass:test -out rsa-2048.encrypted-pkcs1.pem
openssl ec -aes128 -in p256.sec1.pem -passout pass:test -out p256.encrypted-sec1.pem
