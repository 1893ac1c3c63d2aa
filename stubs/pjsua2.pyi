# What avisiod uses of pjsua2-python 2.15.1.post1.

PJSIP_TRANSPORT_UDP: int
PJSIP_INV_STATE_EARLY: int
PJSIP_INV_STATE_CONFIRMED: int
PJSIP_INV_STATE_DISCONNECTED: int
PJSIP_EVENT_RX_MSG: int
PJSIP_EVENT_TSX_STATE: int
PJSIP_ROLE_UAC: int
PJSIP_ROLE_UAS: int
PJSIP_TSX_STATE_TRYING: int
PJSIP_TSX_STATE_COMPLETED: int
PJSIP_TSX_STATE_TERMINATED: int
PJSUA_SIP_TIMER_ALWAYS: int
PJSUA_SIP_TIMER_OPTIONAL: int

class Error(Exception):
    status: int
    title: str
    reason: str

class LogEntry:
    level: int
    msg: str

class LogWriter:
    def write(self, entry: LogEntry) -> None: ...
    def __disown__(self) -> LogWriter: ...

class LogConfig:
    level: int
    consoleLevel: int
    msgLogging: int
    writer: LogWriter

class UaConfig:
    maxCalls: int
    threadCnt: int
    mainThreadOnly: bool
    userAgent: str

class MediaConfig:
    clockRate: int
    threadCnt: int
    hasIoqueue: bool
    noVad: bool
    ecTailLen: int

class EpConfig:
    uaConfig: UaConfig
    logConfig: LogConfig
    medConfig: MediaConfig

class TransportConfig:
    port: int
    boundAddress: str

class TransportInfo:
    localAddress: str

class AudDevManager:
    def setNoDev(self) -> int: ...

class Endpoint:
    def libCreate(self) -> None: ...
    def libInit(self, config: EpConfig) -> None: ...
    def libStart(self) -> None: ...
    def libHandleEvents(self, milliseconds: int) -> int: ...
    def libDestroy(self) -> None: ...
    def transportCreate(self, kind: int, config: TransportConfig) -> int: ...
    def transportGetInfo(self, transport: int) -> TransportInfo: ...
    def audDevManager(self) -> AudDevManager: ...

class AccountCallConfig:
    timerUse: int
    timerMinSESec: int
    timerSessExpiresSec: int

class AccountMediaConfig:
    transportConfig: TransportConfig

class AccountNatConfig:
    contactRewriteUse: int
    viaRewriteUse: int
    sdpNatRewriteUse: int
    sipOutboundUse: int

class AccountConfig:
    idUri: str
    callConfig: AccountCallConfig
    mediaConfig: AccountMediaConfig
    natConfig: AccountNatConfig

class SipRxData:
    wholeMsg: str
    srcAddress: str

class OnIncomingCallParam:
    callId: int
    rdata: SipRxData

class Account:
    def create(self, config: AccountConfig) -> None: ...
    def shutdown(self) -> None: ...
    def onIncomingCall(self, prm: OnIncomingCallParam) -> None: ...

class SipHeader:
    hName: str
    hValue: str

class SipHeaderVector:
    def append(self, header: SipHeader) -> None: ...

class SipTxOption:
    headers: SipHeaderVector
    contentType: str
    msgBody: str

class CallSetting:
    audioCount: int
    videoCount: int

class SdpSession:
    wholeSdp: str

class CallOpParam:
    opt: CallSetting
    statusCode: int
    reason: str
    txOption: SipTxOption
    sdp: SdpSession

class CallSendRequestParam:
    method: str
    txOption: SipTxOption

class CallInfo:
    state: int
    lastStatusCode: int

class SipTransaction:
    role: int
    method: str
    statusCode: int
    state: int

class TsxStateEventSrc:
    rdata: SipRxData

class TsxStateEvent:
    src: TsxStateEventSrc
    tsx: SipTransaction
    prevState: int
    type: int

class RxMsgEvent:
    rdata: SipRxData

class SipEventBody:
    tsxState: TsxStateEvent
    rxMsg: RxMsgEvent

class SipEvent:
    type: int
    body: SipEventBody

class OnCallStateParam:
    e: SipEvent

class OnCallTsxStateParam:
    e: SipEvent

class OnCallSdpCreatedParam:
    sdp: SdpSession
    remSdp: SdpSession

class OnCallRxOfferParam:
    offer: SdpSession
    statusCode: int
    opt: CallSetting

class OnCallRxReinviteParam:
    offer: SdpSession
    rdata: SipRxData
    isAsync: bool
    statusCode: int
    opt: CallSetting

class Call:
    def __init__(self, account: Account, call_id: int = ...) -> None: ...
    def getInfo(self) -> CallInfo: ...
    def isActive(self) -> bool: ...
    def answer(self, prm: CallOpParam) -> None: ...
    def hangup(self, prm: CallOpParam) -> None: ...
    def sendRequest(self, prm: CallSendRequestParam) -> None: ...
    def onCallState(self, prm: OnCallStateParam) -> None: ...
    def onCallTsxState(self, prm: OnCallTsxStateParam) -> None: ...
    def onCallSdpCreated(self, prm: OnCallSdpCreatedParam) -> None: ...
    def onCallRxOffer(self, prm: OnCallRxOfferParam) -> None: ...
    def onCallRxReinvite(self, prm: OnCallRxReinviteParam) -> None: ...
