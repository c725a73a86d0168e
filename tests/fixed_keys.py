"""Provide keys that are the same in every run, so that a seed is a history. They are public and protect nothing."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apcore.signatures import PrivateKey, read_private_der, read_private_pem

__all__ = ["fixed_ed25519", "fixed_rsa"]

_RSA_PEM = """-----BEGIN PRIVATE KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCnmAxsuAqHXWGi
irr893Pa8Emcgstudcj2VdX3BK7i9Qkr0DYYkwx7JEr9n0TkGACKoyI8S7AlNIXG
ZkTznPdLZJuXp3imJRewA/DPDMnkN97ogExVESb0nylyGJoCAOccR+nTC7KEseDc
a/+ezuudg0a4+najGVbE95QqA7VJq3jvMSEhIXoBZ81ObxuspplYWq1m1hsEr1Yu
7Qesifx870GAcRLN17wJK4I+kLdR/oYTY0gONKO2zI+jvCA8OFfq+L26SlVI/zx3
AijZwuIx2oByMBKXm8VGW0t59w4y2Nfwrk/KYxo9aiVd/TfUZxMoHvL9Soey6Y7X
UiMF3RP5AgMBAAECggEAGFRgaWAGV0RdKiWNo6+gqAX+CbSLJ8v9kpU/bI7HfLcp
z6x4TfT6+N157XuzmpFJctbf33T1a1FGoliyZdNBqzY9yDRNtYDpAWpxCP3ISVM7
DvGhIzBMQXLhp2ie4u+SnW5rKXInRlA0XotnHnzXg5RNLgleM6s4B3wRjE/hf4Ii
2ThWoAPFpseArBabrwJRAf+6jMogekZ6VulyPfjVt8EN7Ik/0Gxjj1tyrHJDz3mp
Uzamo+dfhL0VXe8UWs6o6/flMAN6BLHZUfmV40Kzh0nx6EDKkvKG1zn1hwmM2yEG
G0Dj+YB0xWv19ybpHRQ5U8aP4/ZBgCUnXqNsGjBiCQKBgQDcTSeOzyJ7J93cDitu
KAUbSZhyb8SxFhroxsZIVBBtEYjV1aT39CN1Tb+Heo31h82LP32uOWHLpnfbPszW
fTdU+9ced+VAWke1GKpWRTfeCApLRLn9/Bm6e7LuX1xuiLjNUMm2jvjvyTxbQpuB
wgaiynfHfEZg8IR8wAZpe+p6/wKBgQDCwGlCct3aq8PBQjiZFBpOvtKu3p4bZ4f6
vhmxbE3DSCFUiZ2LjHk9wHQNENV9xitciHLDQRmSsVSYHSIHO7iHhLdb/hXPj05D
8UnjWQ+mashfT0rYLgSM3sNb1uAMaEIgkuWIwQbeeD/Hw1Dp5XVqf/1/tgU9/zBK
cPwcn59JBwKBgQCeo2yd+OjSmKW5pfZ+T5FF0hxWI8gW4V0lTKZSRT7C28KWgU9X
QlYaTY9jZsw9B7rq0CCXyjhzJv/eQH3O4sJqjyOcjCfozFogvY9DqnqNh2qqQuZQ
UC7Sy+rQnpj3+7pgFxH6RUBbo6Sz7uX+bZLLvVK9su8XNXuiPcEgSpxSTwKBgAGt
0Pp+rQT2mCBxZrWDI9rr8DsLtkc8NELoIqaR7XWyiH8HFLGgS2dJ4nY+X+jOrY8F
qh+ezw6hsr4A+ksfq66XaVFEtoFsldsmGGH6YZUotIOF1npYozdnsD15c8MHnxJS
0eHE8D84wCwDtg3eKY36fn/8XL01FwB9St8gTSo/AoGBAKOuGQNnP8p/2mHRMGjZ
H1OLsiEO7DwCELBCPyzx7Cast0yhrt+3ns3XLWsY2bjJcFQExFTUYvCQIQhCHNrU
1VNgPdzLRHZo3U12DZkEtsIyyXBwysrrdddZrHmLimCZLsGLz3t37JZsGEio8DJi
Gv0bof2ZNShJFdl9/ZdlfNTD
-----END PRIVATE KEY-----
"""


@cache
def fixed_rsa(key_id: str, owner: str) -> PrivateKey:
    """Return an RSA key of 2,048 bits; there is only one, under every name."""
    return read_private_pem(_RSA_PEM, key_id=key_id, owner=owner)


@cache
def fixed_ed25519(key_id: str, owner: str) -> PrivateKey:
    """Return an Ed25519 key; each name has its own."""
    native = Ed25519PrivateKey.from_private_bytes(sha256(key_id.encode()).digest())
    der = native.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return read_private_der(der, key_id=key_id, owner=owner)
