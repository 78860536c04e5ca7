// Enumerations of the built-ins, with the numbers that the compiler gives them.
#pragma once

typedef enum {
  CRFMODE_NONE = 0,
  CRFMODE_DEQSCALE_VDEQ8 = 8,
  CRFMODE_DEQSCALE_DEQ8 = 9,
  CRFMODE_DEQSCALE_VDEQ16 = 10,
  CRFMODE_DEQSCALE_DEQ16 = 11,
  CRFMODE_DEQSCALE_VDEQS16 = 12,
  CRFMODE_DEQSCALE_DEQS16 = 13,
  CRFMODE_DEQSCALE_VDEQ2S16 = 14,
  CRFMODE_DEQSCALE_DEQ2S16 = 15
} ConvReluFix_t;
typedef enum {
  CRMODE_NONE = 0,
  CRMODE_F32toF16_NONE = 1,
  CRMODE_F32toF16_RELU = 2,
  CRMODE_S32toF16_NONE = 3,
  CRMODE_F16toF32_NONE = 4,
  CRMODE_NONE_RELU = 5,
  CRMODE_F16_MUL = 6,
  CRMODE_S32toF16_DEQSCALE_SPR = 7,
  CRMODE_DEQSCALE_VDEQ8 = 8,
  CRMODE_DEQSCALE_DEQ8 = 9,
  CRMODE_DEQSCALE_VDEQ16 = 10,
  CRMODE_DEQSCALE_DEQ16 = 11,
  CRMODE_DEQSCALE_VDEQS16 = 12,
  CRMODE_DEQSCALE_DEQS16 = 13
} ConvRelu_t;
typedef enum {
  NoQuant = 0,
  F322F16 = 1,
  F322BF16 = 16,
  DEQF16 = 11,
  VDEQF16 = 10,
  QF322B8_PRE = 24,
  VQF322B8_PRE = 23,
  REQ8 = 9,
  VREQ8 = 8,
  AttachF16Mul = 6,
  VQF322HIF8_PRE = 2,
  QF322HIF8_PRE = 3
} QuantMode_t;
typedef enum {
  PIPE_S = 0,
  PIPE_V,
  PIPE_M,
  PIPE_MTE1,
  PIPE_MTE2,
  PIPE_MTE3,
  PIPE_ALL,
  PIPE_MTE4 = 7,
  PIPE_MTE5 = 8,
  PIPE_V2 = 9,
  PIPE_FIX = 10
} pipe_t;
typedef enum {
  ATOMIC_NONE = 0,
  ATOMIC_F32,
  ATOMIC_F16,
  ATOMIC_S16,
  ATOMIC_S32,
  ATOMIC_S8,
  ATOMIC_BF16
} atomic_type_t;
typedef enum {
  PAD_NONE = 0,
  PAD_MODE1,
  PAD_MODE2,
  PAD_MODE3,
  PAD_MODE4,
  PAD_MODE5,
  PAD_MODE6,
  PAD_MODE7,
  PAD_MODE8
} pad_t;
typedef enum { EVENT_ID0 = 0, EVENT_ID1, EVENT_ID2, EVENT_ID3 } event_t;  // four on this chip
typedef enum { VALUE_INDEX = 0, INDEX_VALUE = 1, ONLY_VALUE = 2, ONLY_INDEX = 3 } Order_t;
typedef enum { CACHELINE_ALL = 0, CACHELINE_UB, CACHELINE_OUT, CACHELINE_ATOMIC } dcci_dst_t;
typedef enum { DSB_ALL = 0, DSB_DDR, DSB_UB, DSB_SEQ } mem_dsb_t;
typedef enum { VA0 = 0, VA1, VA2, VA3, VA4, VA5, VA6, VA7 } ub_addr8_t;
typedef enum { b8 = 0, b16 = 1, b32 = 2, s8 = 3, s32 = 4, f16 = 5, fmix = 6, f32 = 7 } vtype_t;
typedef enum { ATOMIC_SUM = 0 } atomic_op_t;
typedef enum { inc = 0, dec = 1 } addr_cal_mode_t;
typedef enum { BM_DISABLE = 0, BM_ENABLE = 1 } bm_t;
typedef enum { SINGLE_CACHE_LINE = 0, ENTIRE_DATA_CACHE } cache_line_t;
typedef enum { CSIZE0 = 0, CSIZE1 = 1 } csize_t;
typedef enum { L128 = 0, H128 } vpart_t;
typedef enum { W_3 = 0, W_5 } w_size_t;
typedef enum { VSPR_0 = 0 } VSPR_t;
